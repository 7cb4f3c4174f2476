// An application in Node that puts a job into BullMQ, traced by bullmq-otel: the Python worker goes on with its trace.
//
//   npm install bullmq bullmq-otel ioredis @opentelemetry/api @opentelemetry/sdk-trace-node @opentelemetry/context-async-hooks @opentelemetry/core
//   REDIS_URL=redis://127.0.0.1:6379 node producer.mjs '{"prompts": ["a dancer in arabesque", "a waving figure"]}'
//
// The argument is the job's data. It prints the trace's id.
import { trace } from "@opentelemetry/api";
import { NodeTracerProvider } from "@opentelemetry/sdk-trace-node";
import { Queue } from "bullmq";
import { BullMQOtel } from "bullmq-otel";
import IORedis from "ioredis";

new NodeTracerProvider().register();

const connection = new IORedis(process.env.REDIS_URL ?? "redis://127.0.0.1:6379", { maxRetriesPerRequest: null });
const queue = new Queue(process.env.QUEUE ?? "pose-generation", {
  connection,
  telemetry: new BullMQOtel("pose-app", "1.0.0"),
});

await trace.getTracer("pose-app").startActiveSpan("POST /generations", async (span) => {
  await queue.add("generate", JSON.parse(process.argv[2]), { attempts: 3 });
  console.log(span.spanContext().traceId);
  span.end();
});
await queue.close();
connection.disconnect();
