"""The stand-in as a process of its own: `python -m posemon_otel.demo.flux`."""

import json
import subprocess
import sys

import httpx2
import pytest
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError

TIMEOUT = 5.0


def run_process(*arguments, **options):
    command = [sys.executable, "-m", "posemon_otel.demo.flux", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


@pytest.mark.parametrize("ending", ["SIGTERM", "stdin"])
def test_as_a_process_it_serves_until_told_to_end_and_prints_its_counts(ending):
    arguments = ("--exit-with-stdin",) if ending == "stdin" else ()
    with run_process("--fail", "auth=1", *arguments, stdin=subprocess.PIPE) as process:
        try:
            url = process.stdout.readline().strip()
            with pytest.raises(HfHubHTTPError):
                InferenceClient(model=url, token="hf_test", timeout=TIMEOUT).text_to_image("x")
            counts = {"requests": 1, "lookups": 0, "answers": {"auth": 1}}
            assert httpx2.get(f"{url}/stats").json() == counts
            if ending == "SIGTERM":
                process.terminate()
            out, err = process.communicate(timeout=20)
        finally:
            process.kill()
    assert (process.returncode, json.loads(out), err) == (0, counts, "")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--fail", "typo=0.1"], 2, "--fail: invalid"),
        (["--fail", "auth=0.6", "--fail", "drop=0.6"], 2, "sum to at most 1"),
        (["--port", "70000"], 1, "Cannot listen on 127.0.0.1:70000"),
    ],
)
def test_as_a_process_it_says_what_is_wrong_with_its_arguments(arguments, code, said):
    with run_process(*arguments) as process:
        try:
            _, err = process.communicate(timeout=20)
        finally:
            process.kill()
    assert process.returncode == code
    assert said in err.splitlines()[-1]
    assert "Traceback" not in err
