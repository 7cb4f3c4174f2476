"""Prompts of running operations leave in nothing that is said within or around them, however many there are."""

import asyncio
import contextvars
import json
import threading

import pytest

import posemon_otel as posemon
from posemon_otel import redaction, settings, testing
from posemon_otel.loggers import worker_logger
from posemon_otel.redaction import prompts

SECRET = "a portrait of Jane Doe from Springfield"


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.setattr(prompts, "recent", ())
    monkeypatch.setattr(prompts, "shortest", prompts.MOST_TEXT)
    settings.use(settings.Settings({"log_format": "none"}, environ={}))


def others(count=prompts._MOST_RECENT):
    for number in range(count):
        redaction.translate({"prompt": f"some other prompt, number {number}"})


def everything(recording):
    return repr([recording.finishes, recording.logs, recording.events])


def fail(message):
    try:
        raise ValueError(message)
    except ValueError as exc:
        return exc


def test_a_prompt_is_known_while_its_call_runs_however_many_came_after(recording):
    with posemon.generation("g1"):
        with posemon.flux_call("m", provider="x", prompt=SECRET) as call:
            others()
            worker_logger.warning(f"refused: {SECRET}")
            call.finish(fail(f"policy violated by: {SECRET}"))
        worker_logger.error("again", error=fail(f"wrapped: {SECRET}"))
    assert recording.one("generate_image").error.message == "policy violated by: [prompt]"
    assert recording.said()[0].body == "refused: [prompt]"
    assert "Jane" not in everything(recording)


def test_calls_within_do_not_push_it_out(recording):
    with posemon.flux_call("m", provider="x", prompt=SECRET) as first:
        for number in range(300):
            with posemon.flux_call("m", provider="x", prompt=f"some other prompt {number}"):
                pass
        first.finish(fail(SECRET))
    assert "Jane" not in everything(recording)
    assert len(first.prompts.within) == 256


def test_each_of_a_list(recording):
    many = [f"person number {number} dances" for number in range(40)]
    with posemon.flux_call("m", provider="x", prompt=many) as call:
        call.finish(fail(f"cannot render {many[0]}, {many[20]} and {many[39]}"))
    assert recording.one("generate_image").error.message == "cannot render [prompt], [prompt] and [prompt]"


@pytest.mark.parametrize("prompt", ["elf", "Jane Doe", "日本の猫"])
def test_a_short_one_goes_as_whole_words(recording, prompt):
    with posemon.flux_call("m", provider="x", prompt=prompt) as call:
        call.finish(fail(f"cannot draw '{prompt}', x{prompt}x is kept: {prompt}"))
    text = f"cannot draw '[prompt]', x{prompt}x is kept: [prompt]"
    assert recording.one("generate_image").error.message == text
    others_text = contextvars.Context().run(redaction.scrub, f"{prompt} outside")
    assert others_text == f"{prompt} outside", "another's words are not touched"
    with posemon.flux_call("m", provider="x"):
        pass
    assert redaction.scrub(f"{prompt} later") == f"{prompt} later"


def test_one_of_two_characters_is_too_little_to_be_told_from_words(recording):
    with posemon.flux_call("m", provider="x", prompt="an") as call:
        call.finish(fail("an error"))
    assert recording.one("generate_image").error.message == "an error"


@pytest.mark.parametrize(
    "words",
    [
        {"negative_prompt": SECRET},
        {"inputs": SECRET},
        {"user_prompt": SECRET},
        {"parameters": {"prompt": SECRET, "steps": 4}},
        {"inputs": {"text": SECRET, "sampler": "euler"}},
        {"messages": [{"prompt": SECRET}]},
    ],
    ids=str,
)
def test_under_any_name(recording, words):
    with posemon.flux_call("m", provider="x", **words) as call:
        others()
        call.finish(fail(f"euler: {SECRET}"))
    assert recording.one("generate_image").error.message == "euler: [prompt]"


def test_said_later_or_of_generation_pose_or_measurement(recording):
    def failing(begun):
        with pytest.raises(ValueError, match="Jane"), begun:
            others()
            raise ValueError(f"no: {SECRET}")

    with posemon.flux_call("m", provider="x") as call:
        call.set(prompt=SECRET)
        others()
        call.finish(fail(SECRET))
    failing(posemon.generation("g1", prompt=SECRET))
    gen = posemon.generation("g2")
    gen.set(prompt=SECRET)
    failing(gen)
    with posemon.generation("g3") as gen:
        gen.set(prompt=SECRET)
        with pytest.raises(ValueError, match="Jane"), gen.pose("p"):
            others()
            raise ValueError(SECRET)
        pose = gen.pose("p")
        pose.set(prompt="a second one of Jane")
        failing(pose)
    failing(posemon.performance_tracker.measure("step", prompt=SECRET))
    with posemon.generation("g4"):
        worker_logger.info("begun", prompt=SECRET)
        others()
        worker_logger.info(f"still {SECRET}")
    assert "Jane" not in everything(recording)


def test_quoted_as_python_and_json_quote(recording):
    prompt = 'Jane\'s "café"\nby night, in the rain'
    with posemon.flux_call("m", provider="x", prompt=prompt) as call:
        worker_logger.info(f"sent {prompt!r}")
        worker_logger.info(f"sent {json.dumps({'text': prompt})}")
        call.finish(fail(json.dumps([prompt], ensure_ascii=False)))
    assert "night" not in everything(recording)
    assert "caf" not in everything(recording)


def test_prompts_that_begin_alike(recording):
    common = "Studio photo of a fashion model in full length, "
    texts = [common + "sitting", common + "arms raised, Jane Doe", common[:40], common]
    with posemon.flux_call("m", provider="x", prompt=texts) as call:
        for text in texts:
            worker_logger.info(f"<{text}>")
        call.finish(fail(texts[1]))
    assert [log.body for log in recording.said()] == ["<[prompt]>"] * 4
    assert recording.one("generate_image").error.message == "[prompt]"


def test_tasks_and_threads_at_once(recording):
    async def one(number):
        secret = f"person {number} called Jane {number}"
        with pytest.raises(ValueError, match="Jane"):
            async with posemon.generation(f"g{number}"):
                with posemon.flux_call("m", provider="x", prompt=[secret, f"J{number:02}"]):
                    await asyncio.sleep(0.01)
                    worker_logger.info(f"J{number:02} waits for {secret}")
                    raise ValueError(f"no {secret}")

    async def all_of_them():
        await asyncio.gather(*(one(number) for number in range(50)))

    asyncio.run(all_of_them())
    threads = [threading.Thread(target=asyncio.run, args=(one(number),)) for number in range(50, 60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(recording.exceptions()) == 60
    assert "Jane" not in everything(recording)
    assert {log.body for log in recording.said("INFO")} == {"[prompt] waits for [prompt]"}


@pytest.mark.parametrize("prompt", [[f"person number {number} dances" for number in range(40)], "Jane Doe"], ids=len)
def test_reported_after_the_end_by_whoever_caught_it(recording, prompt):
    said = prompt if isinstance(prompt, str) else prompt[0]
    try:
        with posemon.generation("g1"), posemon.flux_call("m", provider="x", prompt=prompt):
            raise ValueError(f"no: {said}")
    except ValueError as exc:
        others()
        worker_logger.error(f"failed: {exc}", error=exc)
    assert [log.body for log in recording.said("ERROR")][-1] == "failed: no: [prompt]"
    assert said not in everything(recording)


def test_ended_elsewhere(recording):
    token = posemon.performance_tracker.start("step", prompt=SECRET)
    others()
    posemon.performance_tracker.end(token, error=fail(SECRET))
    assert "Jane" not in everything(recording)


def test_spans_hold_none(monkeypatch):
    from opentelemetry import trace

    with testing.capture() as captured:
        with posemon.flux_call("m", provider="x", prompt=["Jane Doe", SECRET]):
            others()
            mine = trace.get_current_span()
            mine.set_attribute("note", f"drawing {SECRET} and Jane Doe")
            mine.set_status(trace.StatusCode.ERROR, f"no {SECRET}")
            with trace.get_tracer("other").start_as_current_span(f"call {SECRET}") as span:
                span.add_event(f"sent {SECRET}", {"text": SECRET})
                span.set_status(trace.StatusCode.ERROR, "no Jane Doe today")
        assert "Jane" not in "".join(span.to_json() for span in captured.spans)


def test_short_texts_that_are_kept_for_others_know_no_prompt():
    with testing.capture() as captured:
        from opentelemetry import trace

        with posemon.flux_call("m", provider="x", prompt="GET"):
            with trace.get_tracer("other").start_as_current_span("GET", attributes={"way": "GET"}):
                pass
        assert {span.name for span in captured.spans} > {"GET"}
