"""What a run says to its user."""

from vitascope.context import Context


def test_a_line_about_one_clip_of_a_batch_is_not_shown_with_the_others():
    context = Context()
    context.warn("slow")
    context.warn("left out: 'my secret'", clip=1)
    context.warn("too long", clip=0)
    context.warn("too long", clip=1)
    assert context.warnings == ["slow", "left out: 'my secret'", "too long"]
    assert context.warnings_about(0) == ["slow", "too long"]
    assert context.warnings_about(1) == ["slow", "left out: 'my secret'", "too long"]
    context.warn("slow", clip=1)
    assert "slow" in context.warnings_about(0), "what was said of all stays so"
