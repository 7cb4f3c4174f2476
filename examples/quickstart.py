"""Three lines instrument a worker.

With POSEMON_VIEW=tree one sees at once what they see, no backend needed.
"""

import time

import posemon_otel as posemon

posemon.configure("pose-worker")

with posemon.generation("generation-1", user_id="user-1", expected_poses=2) as gen:
    for name in ("Running", "Waving"):
        with gen.pose(name=name), posemon.flux_call("FLUX.1-dev", provider="local", width=512, height=512, steps=4):
            time.sleep(0.05)  # render here

posemon.shutdown()
