"use strict";

// What both pages of the arena share: asking the server, waiting for a clip, words in two languages.

const $ = (id) => document.getElementById(id);

/** The server's answer, or an error with its own words. */
async function ask(path, options) {
  const answer = await fetch(path, options);
  const content = await answer.json();
  if (!answer.ok) throw new Error(content.error ? content.error.message : `HTTP ${answer.status}`);
  return content;
}

const send = (path, body) => ask(path, {
  method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body),
});

const ready = (video) => new Promise((done, fail) => {
  if (video.readyState >= 4) return done();
  video.oncanplaythrough = done;
  video.onerror = () => fail(new Error("a clip cannot be played"));
});

function say(words) { $("said").textContent = words; }

function cell(words, numeric) {
  const node = document.createElement("td");
  node.textContent = words;
  if (numeric) node.className = "n";
  return node;
}

/** A table with a head; cells that are numbers stand to the right. */
function tableOf(head, rows) {
  const table = document.createElement("table");
  const first = table.insertRow();
  head.forEach((words, place) => {
    const node = document.createElement("th");
    node.textContent = words;
    if (rows.length && rows[0][place].className === "n") node.className = "n";
    first.append(node);
  });
  rows.forEach((cells) => table.insertRow().append(...cells));
  return table;
}

function quiet(words) {
  const note = document.createElement("p");
  note.className = "quiet";
  note.textContent = words;
  return note;
}

/** Whether the board may be published, and what is missing for it. */
function verdict(publication, text) {
  const box = document.createElement("div");
  box.className = "verdict";
  const badge = document.createElement("strong");
  badge.textContent = publication.publishable ? text.publishable : text.unpublishable;
  badge.className = publication.publishable ? "good" : "open";
  const list = document.createElement("ul");
  publication.checks.forEach((check) => {
    const line = document.createElement("li");
    line.className = check.passed ? "good" : "open";
    line.textContent = `${text.rules[check.rule]}: ${check.found}`;
    line.title = check.needed;
    list.append(line);
  });
  box.append(badge, list);
  return box;
}

const RULES = {
  en: { votes: "Votes on each", connected: "Compared with one another", bounded: "Won and lost", items: "Prompts",
    raters: "Raters", trust: "Votes of doubtful raters", agreement: "Agreement" },
  zh: { votes: "各算法票数", connected: "相互可比", bounded: "有胜有负", items: "提示词数", raters: "评分者数",
    trust: "存疑评分者的票", agreement: "一致性" },
};

let rater = "";
const wanted = new URLSearchParams(location.search).get("lang") || navigator.language || "en";
let language = wanted.startsWith("zh") ? "zh" : "en";

/** Put the words of the language on everything that has `data-text`, and on the button that changes it. */
function putWords(text) {
  document.documentElement.lang = language;
  document.querySelectorAll("[data-text]").forEach((node) => { node.textContent = text[node.dataset.text]; });
  $("language").textContent = language === "en" ? "中文" : "English";
}

/** The door, the language and the board's button: `next` shows the first clips, `translate` puts the words anew. */
function begin(next, translate) {
  $("entrance").addEventListener("submit", (event) => {
    event.preventDefault();
    rater = $("rater").value.trim();
    if (!rater) return;
    $("entrance").hidden = true;
    $("booth").hidden = false;
    next();
  });
  $("language").addEventListener("click", () => { language = language === "en" ? "zh" : "en"; translate(); });
  $("show-board").addEventListener("click", () => {
    const open = $("board").hidden;
    $("board").hidden = !open;
    $("booth").hidden = open || !rater;
    $("entrance").hidden = open || Boolean(rater);
    $("show-board").dataset.text = open ? "back" : "board";
    translate();
  });
  translate();
}
