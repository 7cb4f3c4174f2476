"""Exit where the interpreter starts no thread any more, as Python 3.12 does: what is delivered last still is."""

from tests.delivery.test_pipeline import child
from tests.receiver import Receiver


def test_the_last_delivery_needs_no_new_thread(tmp_path):
    body = """
        import threading
        def refuse(self):
            raise RuntimeError("can't create new thread at interpreter shutdown")
        with posemon.generation("g1"):
            pass
        import atexit
        atexit.register(lambda: setattr(threading.Thread, "start", refuse))
    """
    with Receiver() as receiver:
        done = child(tmp_path, receiver.url, body)
    assert (done.returncode, done.stderr) == (0, "")
    assert receiver.names() == ["pose.generation"]
    assert receiver.total("pose.generations", pose__generation__status="completed") == 1
