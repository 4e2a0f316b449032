"use strict";
// Extras of the page: sorting, values under the pointer, hiding lines, copying, colors. Without it nothing is lost.

const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const make = (name, attributes = {}, ...inside) => {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...inside);
  return made;
};
const say = (words) => { document.getElementById("said").textContent = words; };

function theme() {
  const button = document.getElementById("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const chosen = () => document.documentElement.dataset.theme;
  const show = () => button.setAttribute("aria-pressed", chosen() ? chosen() === "dark" : system.matches);
  button.addEventListener("click", () => {
    document.documentElement.dataset.theme = button.getAttribute("aria-pressed") === "true" ? "light" : "dark";
    show();
  });
  system.addEventListener("change", show);
  button.hidden = false;
  show();
}

// Numbers by value, texts by the alphabet; what is missing comes last either way.
function sorter(table) {
  const heads = all("thead th[data-column]", table);
  const key = (row, column) => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
  const sort = (head) => {
    const column = Number(head.dataset.column);
    const rows = [...table.tBodies[0].rows].map((row) => ({ row, key: key(row, column) }));
    const known = rows.filter((one) => one.key !== "");
    const numeric = known.every((one) => !Number.isNaN(Number(one.key)));
    const before = head.getAttribute("aria-sort");
    const up = before === "none" ? !numeric : before === "descending";
    const compare = (a, b) => (numeric ? a.key - b.key : a.key.localeCompare(b.key, "en", { numeric: true }));
    known.sort((a, b) => (up ? compare(a, b) : compare(b, a)));
    table.tBodies[0].append(...[...known, ...rows.filter((one) => one.key === "")].map((one) => one.row));
    for (const other of heads) other.setAttribute("aria-sort", other === head ? (up ? "ascending" : "descending") : "none");
    say(`Sorted by ${head.dataset.name ?? head.textContent}, ${up ? "rising" : "falling"}`);
  };
  for (const head of heads) {
    const button = make("button", { type: "button" }, ...head.childNodes);
    if (head.dataset.name) button.setAttribute("aria-label", head.dataset.name);
    head.setAttribute("aria-sort", "none");
    head.append(button);
    button.addEventListener("click", () => sort(head));
  }
}

function chart(figure) {
  const source = figure.querySelector(".readings");
  if (!source) return;
  const { label, x, heads, lines } = JSON.parse(source.textContent);
  const plot = figure.querySelector(".plot");
  const hidden = new Set();
  const slide = make("input", {
    type: "range", class: "slide", min: 0, max: x.length - 1, step: 1, "aria-label": `Read values at ${label}`,
  });
  slide.style.setProperty("--first", x[0]);
  slide.style.setProperty("--last", x.at(-1));
  const touch = make("div", { class: "touch" });
  const cursor = make("div", { class: "cursor", "aria-hidden": "true" });
  const tip = make("div", { class: "tip", "aria-hidden": "true" });
  const dots = lines.map((line) => make("div", { class: `dot ${look(line.line)}`, "aria-hidden": "true" }));
  const marks = [cursor, tip, ...dots];
  let at = Math.floor(x.length / 2);

  function look(line) {
    const swatch = figure.querySelector(`.legend [data-line="${line}"] path`);
    return [...swatch.classList].find((name) => name.startsWith("look"));
  }
  const shown = () => lines.filter((line) => !hidden.has(line.line));
  function tell() {
    slide.value = at;
    const words = shown().map((line) => `${line.name} ${line.words[at]}`);
    slide.setAttribute("aria-valuetext", `${heads[at]}: ${words.join(", ") || "no line is shown"}`);
  }
  function show(index) {
    at = index;
    tell();
    cursor.style.left = `${100 * x[at]}%`;
    lines.forEach((line, i) => {
      const inside = !hidden.has(line.line) && line.y[at] !== null && line.y[at] >= 0 && line.y[at] <= 1;
      dots[i].hidden = !inside;
      dots[i].style.left = `${100 * x[at]}%`;
      dots[i].style.top = `${100 * (1 - line.y[at])}%`;
    });
    tip.replaceChildren(make("b", {}, `${label} ${heads[at]}`));
    for (const line of shown()) {
      tip.append(make("span", {}, make("i", { class: look(line.line) }), line.name, make("em", {}, line.words[at])));
    }
    cursor.hidden = tip.hidden = false;
    // Beside the cursor, on the side with more room, and never over the edge.
    const width = plot.clientWidth, place = x[at] * width;
    const left = x[at] > 0.5 ? place - tip.offsetWidth - 12 : place + 12;
    tip.style.left = `${Math.min(Math.max(left, -44), width - tip.offsetWidth + 8)}px`;
  }
  const hide = () => marks.forEach((mark) => { mark.hidden = true; });
  const nearest = (fraction) => x.reduce((best, value, i) => (Math.abs(value - fraction) < Math.abs(x[best] - fraction) ? i : best), 0);
  const follow = (event) => {
    const box = touch.getBoundingClientRect();
    show(nearest((event.clientX - box.left) / box.width));
  };
  touch.addEventListener("pointermove", follow);
  touch.addEventListener("pointerdown", follow);
  touch.addEventListener("pointerleave", () => { if (document.activeElement !== slide) hide(); });
  slide.addEventListener("input", () => show(Number(slide.value)));
  slide.addEventListener("focus", () => show(Number(slide.value)));
  slide.addEventListener("blur", hide);

  if (lines.length > 1) {
    for (const line of lines) {
      const entry = figure.querySelector(`.legend [data-line="${line.line}"]`);
      const button = make("button", { type: "button", "aria-pressed": "true" }, ...entry.childNodes);
      entry.append(button);
      button.addEventListener("click", () => {
        const off = !hidden.has(line.line);
        hidden[off ? "add" : "delete"](line.line);
        button.setAttribute("aria-pressed", !off);
        for (const part of all(`.plot [data-line="${line.line}"]`, figure)) part.style.display = off ? "none" : "";
        hide();
        tell();
      });
    }
  }
  hide();
  plot.append(...dots, cursor, tip, touch);
  figure.querySelector(".axis.below").after(slide);
  tell();
}

function copier(block) {
  const code = block.querySelector("code");
  const button = make("button", { type: "button", "aria-label": `Copy ${block.querySelector("pre").getAttribute("aria-label")}` }, "Copy");
  const byHand = () => {
    getSelection().selectAllChildren(code);
    return document.execCommand("copy");
  };
  button.addEventListener("click", async () => {
    let done = true;
    try { await navigator.clipboard.writeText(code.textContent); } catch { done = byHand(); }
    button.textContent = done ? "Copied" : "Press Ctrl+C";
    say(button.textContent);
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
  block.append(button);
}

// A frame that has nothing to scroll is no stop for the tab key.
function frames() {
  const check = (frame) => {
    const wide = frame.scrollWidth > frame.clientWidth + 1 || frame.scrollHeight > frame.clientHeight + 1;
    for (const [key, value] of [["tabindex", "0"], ["role", "region"]]) {
      if (wide) frame.setAttribute(key, value); else frame.removeAttribute(key);
    }
  };
  const watch = new ResizeObserver((entries) => entries.forEach((entry) => check(entry.target)));
  for (const frame of all(".scroll, .copy pre")) watch.observe(frame);
}

function contents() {
  const links = new Map(all("nav a").map((link) => [link.hash.slice(1), link]));
  const watch = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      for (const link of links.values()) link.removeAttribute("aria-current");
      links.get(entry.target.id).setAttribute("aria-current", "true");
    }
  }, { rootMargin: "-20% 0px -70% 0px" });
  for (const section of all("main > section")) watch.observe(section);
}

theme();
all("table.sortable").forEach(sorter);
all(".chart").forEach(chart);
all(".copy").forEach(copier);
frames();
contents();
addEventListener("beforeprint", () => all("details").forEach((part) => { part.dataset.was = part.open; part.open = true; }));
addEventListener("afterprint", () => all("details").forEach((part) => { part.open = part.dataset.was === "true"; }));
