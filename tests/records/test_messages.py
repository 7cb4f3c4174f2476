import pytest

from posemon_otel.records.messages import classify_message, stored_type


@pytest.mark.parametrize(
    ("message", "error_type"),
    [
        # The original called each of these a FLUX error, for the word "api" in it.
        ("Storage API: upload failed", "STORAGE_ERROR"),
        ("Insufficient credits (API check)", "CREDIT_ERROR"),
        ("API request timed out after 120000ms", "TIMEOUT_ERROR"),
        ("FLUX API timeout", "TIMEOUT_ERROR"),
        ("connect ECONNREFUSED 127.0.0.1:443 (api)", "NETWORK_ERROR"),
        ("Validation failed: api_key is required", "VALIDATION_ERROR"),
        ("FLUX API error: 500 Internal Server Error", "FLUX_API_ERROR"),
        ("Hugging Face inference failed: 429 Too Many Requests", "FLUX_API_ERROR"),
        ("Model black-forest-labs/FLUX.1-dev is currently loading", "FLUX_API_ERROR"),
        ("FLUX returned 504 Gateway Timeout", "TIMEOUT_ERROR"),
        ("HTTP 408", "TIMEOUT_ERROR"),
        ("The read operation timed out", "TIMEOUT_ERROR"),
        ("ETIMEDOUT", "TIMEOUT_ERROR"),
        ("socket hang up", "NETWORK_ERROR"),
        ("getaddrinfo ENOTFOUND router.huggingface.co", "NETWORK_ERROR"),
        ("TypeError: fetch failed", "NETWORK_ERROR"),
        ("ControlNet preprocessing failed", "CONTROLNET_ERROR"),
        ("openpose found no person", "CONTROLNET_ERROR"),
        ("ENOSPC: no space left on device, write", "STORAGE_ERROR"),
        ("NoSuchBucket: The specified bucket does not exist", "STORAGE_ERROR"),
        ("Invalid parameter: width", "VALIDATION_ERROR"),
        ("height must be a multiple of 16", "VALIDATION_ERROR"),
        ("Cannot read properties of undefined (reading 'buffer')", "UNKNOWN_ERROR"),
        ("job stalled more than allowable limit", "UNKNOWN_ERROR"),
        ("rapid", "UNKNOWN_ERROR"),
        ("", "UNKNOWN_ERROR"),
        (None, "UNKNOWN_ERROR"),
    ],
)
def test_in_order(message, error_type):
    assert classify_message(message) == error_type


def test_a_stored_type_goes_first():
    assert stored_type("CREDIT_ERROR", "FLUX timed out") == "CREDIT_ERROR"
    assert stored_type(None, "FLUX timed out") == "TIMEOUT_ERROR"
    assert stored_type("SOMETHING_NEW", "FLUX timed out") == "TIMEOUT_ERROR"
    assert stored_type(None, None) == "UNKNOWN_ERROR"
