"""OpenTelemetry instrumentation for image-generation workers."""
