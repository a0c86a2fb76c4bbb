"""Prompts are written out by an LLM or by the lexicon; whatever fails leaves the prompt as it was."""

import json
import threading
import time
from contextlib import suppress
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from vitascope.context import Context
from vitascope.engine.engine import Engine
from vitascope.engine.placement import Placement
from vitascope.errors import JobCancelled, RequestError, UnknownName
from vitascope.generators import GENERATORS
from vitascope.generators.cogvideox import CogVideoX
from vitascope.generators.colour_bars import ColourBars
from vitascope.generators.wan import Wan
from vitascope.language.styles import STYLES
from vitascope.settings import Settings
from vitascope.steps.expand_prompt import ExpandPrompt
from vitascope.task import TextToVideo
from vitascope.workflows import Chain

LONG = "A red ball bounces slowly over a green meadow in soft light, seen by a steady camera."


class Server:
    """An OpenAI-shaped server on loopback that behaves as it is told."""

    def __init__(self):
        self.asked = []
        self.behave = lambda handler: self.say(handler, LONG)
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.asked.append(
                    {"path": self.path, "body": json.loads(body), "headers": dict(self.headers)}
                )
                with suppress(OSError):  # the client cuts the connection when it has waited long enough
                    outer.behave(self)

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}/v1"

    def raw(self, handler, body, status=200, content_type="application/json"):
        handler.send_response(status)
        handler.send_header("Content-Type", content_type)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def say(self, handler, text, finish_reason="stop"):
        answer = {"choices": [{"message": {"role": "assistant", "content": text}}]}
        answer["choices"][0]["finish_reason"] = finish_reason
        self.raw(handler, json.dumps(answer).encode())

    def drip(self, handler):
        handler.send_response(200)
        handler.send_header("Content-Length", "100000")
        handler.end_headers()
        for _ in range(200):
            handler.wfile.write(b" ")
            handler.wfile.flush()
            time.sleep(0.05)


@pytest.fixture
def server():
    made = Server()
    yield made
    made.http.shutdown()
    made.http.server_close()


@pytest.fixture
def context(tmp_path):
    return Context(settings=Settings(home=tmp_path, llm_key="sesame"))


def expand(server, context, prompt="a red ball over grass", **knobs):
    step = ExpandPrompt(url=server.url, llm="tiny", **{"timeout_s": 2.0, "attempts": 1, **knobs})
    return step.prepare(TextToVideo(prompt=prompt), context)


def test_the_answer_becomes_the_prompt_and_both_are_noted(server, context):
    task, note = expand(server, context)
    assert task.prompt == LONG
    assert note == {"original": "a red ball over grass", "expanded": LONG, "by": "tiny"}
    (asked,) = server.asked
    assert asked["path"] == "/v1/chat/completions"
    assert asked["headers"]["Authorization"] == "Bearer sesame"
    assert asked["body"]["model"] == "tiny"
    assert "red ball" in asked["body"]["messages"][-1]["content"]


def test_the_same_question_is_asked_once(server, context):
    expand(server, context)
    expand(server, context)
    assert len(server.asked) == 1
    expand(server, context, prompt="a blue ring")
    assert len(server.asked) == 2


def test_chinese_becomes_english_where_the_generator_speaks_only_english(server, context):
    task, _ = expand(server, context, prompt="一个红色的球", style="cogvideox")
    assert task.prompt == LONG
    assert "in English" in server.asked[0]["body"]["messages"][0]["content"]
    server.behave = lambda handler: server.say(handler, "一个红色的球在草地上弹跳")
    task, _ = expand(server, context, prompt="一个红球", style="wan")
    assert task.prompt == "一个红色的球在草地上弹跳"
    task, _ = expand(server, context, prompt="一个红色的球", style="toy-world")
    assert task.prompt == "一个红色的球在草地上弹跳"


def test_a_cut_answer_ends_with_its_last_whole_sentence(server, context):
    server.behave = lambda handler: server.say(handler, f"{LONG} The red ball st", "length")
    assert expand(server, context)[0].prompt == LONG


def test_the_toy_worlds_words_are_all_kept(server, context):
    server.behave = lambda handler: server.say(handler, "a red ball bounces to the left at night")
    task, _ = expand(server, context, prompt="a red ball rolls left", style="toy-world")
    assert task.prompt == "a red ball bounces to the left at night"
    task, note = expand(server, context, prompt="a red ball rolls right", style="toy-world")
    assert task.prompt == "a red ball rolls right"
    assert "motion (right)" in note["reason"]


def test_thoughts_and_quotes_are_no_part_of_the_prompt(server, context):
    server.behave = lambda handler: server.say(handler, f'<think>the user\nwants</think>\n"{LONG}"\n')
    assert expand(server, context)[0].prompt == LONG


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        (lambda s: lambda h: s.say(h, ""), "empty"),
        (lambda s: lambda h: s.say(h, "<html><body>502</body></html>"), "markup"),
        (lambda s: lambda h: s.say(h, "word " * 10_000), "10000 words"),
        (lambda s: lambda h: s.say(h, "I'm sorry, but I can't help with that."), "refused"),
        (lambda s: lambda h: s.say(h, "抱歉,我无法满足这个请求。"), "refused"),
        (lambda s: lambda h: s.say(h, "一个红色的球"), "not in English"),
        (lambda s: lambda h: s.say(h, "A ball bounces over grass."), "lost of the prompt: red"),
        (lambda s: lambda h: s.say(h, "A red sunset."), "every word"),
        (lambda s: lambda h: s.say(h, "A red ball rolls and", "length"), "cut at the token limit"),
        (lambda s: lambda h: s.raw(h, b"<html>login</html>", content_type="text/html"), "not an OpenAI"),
        (lambda s: lambda h: s.raw(h, b'{"choices": []}'), "not an OpenAI"),
        (lambda s: lambda h: s.raw(h, b'{"choices": [{"message": {"content": null}}]}'), "no text"),
        (lambda s: lambda h: s.raw(h, b"\xff\xfe\x00garbage"), "not an OpenAI"),
        (lambda s: lambda h: s.raw(h, b"x" * (2**20 + 10)), "longer than"),
        (lambda s: lambda h: s.raw(h, b"{}", status=500), "status 500"),
        (lambda s: lambda h: h.connection.close(), "cannot be reached"),
        (lambda s: lambda h: time.sleep(5), "within 2 s"),
        (lambda s: s.drip, "within 2 s"),
    ],
)
def test_a_bad_answer_leaves_the_prompt_with_a_warning(server, context, behaviour, words):
    server.behave = behaviour(server)
    started = time.monotonic()
    task, note = expand(server, context)
    assert time.monotonic() - started < 4
    assert task.prompt == "a red ball over grass"
    assert words in note["reason"]
    assert words in context.warnings[0]


def test_a_server_that_is_not_there_and_one_that_recovers(server, context):
    down = ExpandPrompt(url="http://127.0.0.1:9/v1", llm="tiny", attempts=1)
    assert down.prepare(TextToVideo(prompt="a star"), context)[0].prompt == "a star"
    answers = [lambda h: server.raw(h, b"{}", status=503), lambda h: server.say(h, LONG)]
    server.behave = lambda handler: answers.pop(0)(handler)
    assert expand(server, context, attempts=2)[0].prompt == LONG


def test_waiting_for_an_answer_can_be_cancelled(server, context):
    server.behave = lambda handler: time.sleep(5)
    threading.Timer(0.3, context.cancel.set).start()
    started = time.monotonic()
    with pytest.raises(JobCancelled):
        expand(server, context, timeout_s=60)
    assert time.monotonic() - started < 2


def test_a_wrong_address_or_style_is_the_callers_mistake(context):
    with pytest.raises(RequestError, match="not an http"):
        ExpandPrompt(url="ftp://host").prepare(TextToVideo(prompt="a star"), context)
    with pytest.raises(UnknownName, match="cogvideox"):
        ExpandPrompt(style="cogvideo").check(TextToVideo(prompt="a star"))


def test_the_key_is_nowhere_in_the_recipe(server, context):
    chain = Chain(around=(ExpandPrompt(url=server.url, llm="tiny"),), generator=ColourBars())
    clip = chain.run(TextToVideo(prompt="a ball", fps=Fraction(8)), Engine(Placement(device="cpu")), context)
    text = clip.recipe.model_dump_json()
    assert "sesame" not in text
    assert "a ball" in text
    assert LONG in text


def test_the_style_is_the_generators_own_unless_chosen():
    assert ExpandPrompt().fitted_to(CogVideoX(model="sprout")).style == "toy-world"
    assert ExpandPrompt().fitted_to(CogVideoX(model="cogvideox-5b")).style == "cogvideox"
    assert ExpandPrompt(style="plain").fitted_to(CogVideoX()).style == "plain"
    assert ExpandPrompt().fitted_to(Wan()).style == "wan"
    assert ExpandPrompt().fitted_to(ColourBars()).style == "plain"
    assert all(generator().prompt_style() in STYLES for generator in GENERATORS)


def test_without_an_endpoint_the_lexicon_writes(context):
    task, note = ExpandPrompt(style="cogvideox").prepare(
        TextToVideo(prompt="A knight rides left at night"), context
    )
    assert task.prompt.startswith("A knight rides left at night.")
    assert len(task.prompt) > 60
    assert note["by"] == "built-in lexicon"
    again, _ = ExpandPrompt(style="cogvideox").prepare(
        TextToVideo(prompt="A knight rides left at night"), context
    )
    assert again.prompt == task.prompt
    task, note = ExpandPrompt(style="cogvideox").prepare(TextToVideo(prompt="一位骑士"), context)
    assert task.prompt == "一位骑士"
    assert "English only" in note["reason"]
