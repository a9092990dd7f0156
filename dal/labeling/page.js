"use strict";
const { key, items, classes } = JSON.parse(document.getElementById("data").textContent);
const place = new Map(items.map((item, index) => [item.id, index]));
const element = id => document.getElementById(id);
const cards = [...document.querySelectorAll(".item")];
const find = element("find");
const MAX_KEYS = 9;

let answers = new Map(); // id to class; an empty one is a skip
let history = []; // of [id, answer before], for undo
let focus = 0;

function load() {
  let stored = null;
  try { stored = JSON.parse(localStorage.getItem(key)); } catch { warn(); }
  answers = new Map((stored?.answers ?? []).filter(([id]) => place.has(id)));
  history = (stored?.history ?? []).filter(([id]) => place.has(id));
}

function save() {
  try { localStorage.setItem(key, JSON.stringify({ answers: [...answers], history })); }
  catch { warn(); }
}

function warn() {
  element("warning").textContent = "This browser keeps nothing of this page: download labels.csv "
    + "before you close it.";
  element("warning").hidden = false;
}

function known() {
  return [...new Set([...classes, ...[...answers.values()].filter(name => name !== "")])];
}

function answer(name) {
  const { id } = items[focus];
  history.push([id, answers.get(id) ?? null]);
  answers.set(id, name);
  save();
  show(focus);
  find.value = "";
  const next = [...items.keys()].map(step => (focus + 1 + step) % items.length)
    .find(index => !answers.has(items[index].id));
  move(next ?? focus);
}

function undo() {
  const [id, before] = history.pop() ?? [];
  if (id === undefined) return;
  if (before === null) answers.delete(id); else answers.set(id, before);
  save();
  show(place.get(id));
  move(place.get(id));
}

function move(index) {
  cards[focus]?.classList.remove("focus");
  focus = Math.max(0, Math.min(items.length - 1, index));
  cards[focus]?.classList.add("focus");
  cards[focus]?.scrollIntoView({ block: "nearest" });
  render();
}

function describe(chip, id) {
  const given = answers.get(id);
  chip.textContent = given === undefined ? "" : given === "" ? "skipped" : `✓ ${given}`;
  chip.classList.toggle("skipped", given === "");
}

function show(index) {
  cards[index].classList.toggle("answered", answers.has(items[index].id));
  describe(cards[index].querySelector(".chip"), items[index].id);
}

function render() {
  const item = items[focus], card = cards[focus];
  element("large").replaceChildren(card.querySelector(".show").firstElementChild.cloneNode(true));
  element("place").textContent = `Item ${focus + 1} of ${items.length}`;
  describe(element("answer"), item.id);
  element("id").textContent = item.id;
  element("guess").replaceChildren(...(card.querySelector(".guess")?.cloneNode(true).childNodes ?? []));
  element("reason").textContent = item.reason;
  element("progress").textContent = `${answers.size} of ${items.length}`;
  element("done").style.width = `${100 * answers.size / items.length}%`;
  element("finish").hidden = answers.size < items.length;
  element("undo").disabled = history.length === 0;
  element("download").disabled = answers.size === 0;
  renderClasses(item);
}

function matches() {
  const wanted = find.value.trim().toLowerCase();
  return known().filter(name => name.toLowerCase().includes(wanted));
}

function renderClasses(item) {
  const counts = new Map(), all = known(), wanted = find.value.trim(), found = matches();
  for (const name of answers.values()) counts.set(name, (counts.get(name) ?? 0) + 1);
  const buttons = found.map((name, order) => {
    const button = document.createElement("button");
    button.type = "button";
    const number = all.indexOf(name) + 1;
    if (number <= MAX_KEYS) {
      const key = document.createElement("kbd");
      key.textContent = number;
      button.append(key, " ");
    }
    button.append(name);
    if (counts.has(name)) {
      const count = document.createElement("span");
      count.className = "count";
      count.textContent = ` ${counts.get(name)}`;
      button.append(count);
    }
    button.classList.toggle("predicted", name === item.predicted);
    button.classList.toggle("chosen", name === answers.get(item.id));
    button.classList.toggle("first", wanted !== "" && order === 0);
    button.addEventListener("click", () => { button.blur(); answer(name); });
    return button;
  });
  if (wanted !== "" && !all.includes(wanted)) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = found.length ? "new" : "new first";
    button.textContent = `New class: ${wanted}`;
    button.addEventListener("click", () => { button.blur(); answer(wanted); });
    buttons.push(button);
  }
  element("classes").replaceChildren(...buttons);
}

function table() {
  const quote = text => /[",\r\n]|^\s|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  const rows = items.filter(({ id }) => answers.has(id))
    .map(({ id }) => `${quote(id)},${quote(answers.get(id))}`);
  return ["id,label", ...rows, ""].join("\n");
}

function download() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([table()], { type: "text/csv" }));
  link.download = "labels.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

function copyOld(text) {
  const area = document.createElement("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  const isDone = document.execCommand("copy");
  area.remove();
  return isDone;
}

async function copy(button, text) {
  let isDone = true;
  try { await navigator.clipboard.writeText(text); } catch { isDone = copyOld(text); }
  const shown = button.textContent;
  button.textContent = isDone ? "Copied" : "Not allowed here";
  setTimeout(() => { button.textContent = shown; }, 1000);
}

function isTyping(event) {
  return event.target.closest("input, summary, .copy") !== null;
}

document.addEventListener("keydown", event => {
  if (event.target === find) {
    if (event.key === "Escape") { find.value = ""; find.blur(); render(); }
    if (event.key === "Enter" && !event.isComposing && find.value.trim() !== "") {
      const wanted = find.value.trim(), all = known();
      event.preventDefault();
      find.blur();
      answer(all.includes(wanted) ? wanted : matches()[0] ?? wanted);
    }
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event)) return;
  const isButton = event.target.closest("button") !== null;
  const name = /^[1-9]$/.test(event.key) ? known()[event.key - 1] : undefined;
  if (name !== undefined) answer(name);
  else if (event.key === "Enter" && !isButton && items[focus].predicted !== null)
    answer(items[focus].predicted);
  else if (["s", "S", "0"].includes(event.key)) answer("");
  else if (["u", "U", "Backspace"].includes(event.key)) undo();
  else if (["ArrowRight", "ArrowDown"].includes(event.key)) move(focus + 1);
  else if (["ArrowLeft", "ArrowUp"].includes(event.key)) move(focus - 1);
  else if (event.key === "/") find.focus();
  else return;
  event.preventDefault();
});

for (const [index, card] of cards.entries()) {
  const image = card.querySelector("img");
  image?.decode().then(() => { // nearest-neighbour for tiny ones, where smooth is a blur
    image.classList.toggle("small", image.naturalWidth < 100);
    if (index === focus) render();
  }).catch(() => {});
  card.querySelector(".show").addEventListener("click", event => {
    event.currentTarget.blur();
    move(index);
  });
  const button = card.querySelector(".copy");
  button.addEventListener("click", () => { button.blur(); copy(button, items[index].id); });
}
find.addEventListener("input", render);
for (const [id, act] of [["skip", () => answer("")], ["undo", undo], ["download", download]])
  element(id).addEventListener("click", () => { element(id).blur(); act(); });
addEventListener("storage", event => { // the page is open twice
  if (event.key !== key) return;
  load();
  cards.forEach((_, index) => show(index));
  render();
});

load();
if (items.length) {
  cards.forEach((_, index) => show(index));
  const first = items.findIndex(({ id }) => !answers.has(id));
  focus = first < 0 ? 0 : first;
  cards[focus].classList.add("focus");
  render();
}
