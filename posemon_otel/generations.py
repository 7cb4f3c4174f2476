"""Generations: one request for 1..N poses."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from posemon_otel._generation import Generation


def generation(
    generation_id: str,
    *,
    user_id: str | None = None,
    expected_poses: int | None = None,
    credits_charged: int = 0,
    model: str | None = None,
    provider: str | None = None,
    **words: Any,
) -> "Generation":
    """Watches one generation: ``with posemon.generation("g1", user_id="u1", expected_poses=4) as gen:``.

    Its status is ``completed`` where every pose came out, ``partial`` where some did, ``failed`` where none did or
    the block raised (what it raised goes on). All poses are ``expected_poses``, where it is given, else those begun
    with ``gen.pose``. A pose that failed and is begun again under the same id, name and variation is one pose, and
    the last try decides. Who does not use ``gen.pose`` states the counts: ``gen.set(poses_completed=4)``, else none
    of the expected has come out.

    In a job with attempts left a generation that fails is not at its end: it has no status and counts nowhere, the
    attempt that follows decides.

    Args:
        generation_id: Its id; on every span and log record within. An empty one is made up.
        user_id: Whose it is.
        expected_poses: How many poses were asked for.
        credits_charged: What was charged for it.
        model: Model that renders it.
        provider: Who runs the model.
        **words: More attributes, by the words of the vocabulary.

    Returns:
        A context manager, sync and async.
    """
    from posemon_otel import _generation

    return _generation.Generation(
        generation_id,
        {
            **words,
            "user_id": user_id,
            "expected_poses": expected_poses,
            "credits_charged": credits_charged,
            "model": model,
            "provider": provider,
        },
    )
