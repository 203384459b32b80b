/* The page's part of the inspector: it shows what the kernel draws, and sends what is asked for. No framework, no build.
 *
 * Names that tests and styles may rely on:
 *   .sgf-inspector             the root; .sgf-live once the kernel has answered, .sgf-busy, .sgf-gone
 *   .sgf-state                 the chip that says how the instance stands
 *   .sgf-message               what was said last (aria-live); .sgf-link says whether the kernel answers
 *   [data-pane=NAME]           trail head asks diagram panel timeline controls
 *   [data-do=NAME]             a button or form that sends a command with its other data-* and its fields: run pause step
 *                              resume cancel select travel live break mend decide signal fork back export fit zoom
 *   [data-open=NAME]           a button that opens and closes the form [data-form=NAME]
 *   [data-step][data-target]   a box of the diagram: "action" or "compensation"
 *   .sgf-slider .sgf-position .sgf-present   the slider through the events, "7 / 22", the badge that returns to the present
 *   [data-filter=NAME] .sgf-search       the filters of the event table: all action compensation doubt request error
 *   .sgf-events tr[data-number]          its rows; .sgf-future those behind the event that is seen
 */
const PANES = ["trail", "head", "asks", "diagram", "panel", "timeline", "controls"];
const FILTERS = { all: "All", action: "Actions", compensation: "Compensations", doubt: "Doubts and decisions",
  request: "Requests", error: "Errors" };
const TITLES = ["event", "time", "what happened", "leads to", "because"];
const PING = 2000, PATIENCE = 1000, LONG = 30000, FRAME = 33, AT_HAND = 400;
const BUSY = "kernel busy: acts after the cell";
const GONE = "kernel gone: run the cell again";
const FOCUSABLE = "button,input,select,textarea,summary,[tabindex]";

const element = (name, attributes = {}, ...children) => {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
};

/* What a node says of itself, but for what is there for the notebook around it alone. */
const told = (node) => {
  const { lmSuppressShortcuts, form, ...own } = node.dataset;
  return own;
};

/* What one model knows, for all its views: each is complete at once, whenever it is opened. */
function knowledge(model) {
  const known = { seq: -1, panes: {}, rows: [], facts: {}, total: 0, link: "live", heard: false };
  const views = new Set();
  let asked = 0, impatient = 0, timer = 0;

  const link = (state) => {
    if (known.link === "gone" && state === "busy") return;
    known.link = state;
    views.forEach((view) => view.linked());
  };
  const post = (command) => {
    try {
      Promise.resolve(model.send(command)).catch(() => link("gone"));
    } catch {
      link("gone");
    }
  };
  const ping = () => {
    const now = performance.now();
    if (known.link === "gone" || (asked && now - asked < LONG)) return;
    asked = now;
    clearTimeout(impatient);
    impatient = setTimeout(() => link("busy"), PATIENCE);
    post({ do: "ping", seq: known.seq });
    if (known.link === "gone") clearTimeout(impatient);
  };
  const send = (command) => {
    if (known.link === "gone") return;
    post(command);
    ping();
  };
  const take = (frame) => {
    if (!frame.full && frame.seq <= known.seq) return;
    if (!frame.full && (frame.seq !== known.seq + 1 || frame.first !== known.total)) {
      post({ do: "resync" });
      return;
    }
    const { panes = {}, rows = "", first, total, seq, full = false, kind, ...facts } = frame;
    if (full) Object.assign(known, { panes: {}, rows: [] });
    Object.assign(known.panes, panes);
    Object.assign(known.facts, facts);
    if (rows) known.rows.push(rows);
    Object.assign(known, { seq, total });
    views.forEach((view) => view.drawn({ panes, rows, full, facts }));
  };
  const offer = ({ name, html }) => {
    const url = URL.createObjectURL(new Blob([html], { type: "text/html" }));
    element("a", { href: url, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(url), PATIENCE);
  };
  const hear = (message) => {
    known.heard = true;
    if (message.kind === "frame") take(message);
    if (message.kind === "file") offer(message);
    if (message.kind === "pong") {
      asked = 0;
      clearTimeout(impatient);
      link("live");
    }
    views.forEach((view) => view.alive());
  };

  model.on("msg:custom", hear);
  const state = model.get("frame");
  if (state && state.panes) take(state);
  return {
    known,
    send,
    gone: () => link("gone"),
    open(view) {
      views.add(view);
      if (!timer) timer = setInterval(ping, PING);
      ping();
    },
    close(view) {
      views.delete(view);
      if (views.size === 0) {
        clearInterval(timer);
        clearTimeout(impatient);
        timer = asked = 0;
      }
    },
  };
}

/* Put new HTML into a pane, and keep what its reader has done in it: focus, writing, what is unfolded, where it is. */
function replaced(pane, html, reopen = () => {}) {
  const active = pane.getRootNode().activeElement;
  const key = (node) => [node.localName, node.name, node.closest("form")?.dataset.form,
    ...Object.entries(told(node)).flat(), node.localName === "summary" ? node.textContent : ""].join("\n");
  const focus = active && pane.contains(active) ? key(active) : null;
  const caret = focus && typeof active.selectionStart === "number" ? [active.selectionStart, active.selectionEnd] : null;
  const inputs = () => [...pane.querySelectorAll("input,select,textarea")];
  const written = new Map(inputs().map((input) => [key(input), [input.value, input.checked]]));
  const fresh = new Set(inputs().filter((input) => input.value === input.defaultValue && !input.checked).map(key));
  const unfolded = new Set([...pane.querySelectorAll("details[open]>summary")].map((summary) => summary.textContent));
  const boxes = () => [...pane.querySelectorAll("div,pre,textarea")];
  const scrolled = boxes().filter((node) => node.scrollLeft || node.scrollTop)
    .map((node) => [node.className, node.scrollLeft, node.scrollTop]);
  pane.innerHTML = html;
  reopen();
  for (const input of inputs()) {
    const kept = fresh.has(key(input)) ? null : written.get(key(input));
    if (kept) [input.value, input.checked] = kept;
  }
  for (const summary of pane.querySelectorAll("details>summary"))
    if (unfolded.has(summary.textContent)) summary.parentElement.open = true;
  for (const [name, left, top] of scrolled) {
    const node = boxes().find((one) => name && one.className === name);
    if (node) Object.assign(node, { scrollLeft: left, scrollTop: top });
  }
  const again = focus && [...pane.querySelectorAll(FOCUSABLE)].find((node) => key(node) === focus);
  if (again) {
    again.focus({ preventScroll: true });
    if (caret) again.setSelectionRange(...caret);
  }
}

function events() {
  const search = element("input", { type: "search", class: "sgf-search", placeholder: "search the events",
    "aria-label": "search the events" });
  const chips = Object.entries(FILTERS).map(([name, words]) =>
    element("button", { type: "button", class: "sgf-button sgf-small", "data-filter": name, "aria-pressed": name === "all" },
      words));
  const body = element("tbody");
  const head = element("tr", {}, ...TITLES.map((title) => element("th", { scope: "col" }, title)));
  const box = element("div", { class: "sgf-scroll", tabindex: "0", role: "region", "aria-label": "events" },
    element("table", { class: "sgf-events" }, element("thead", {}, head), body));
  const bar = element("div", { class: "sgf-buttons sgf-filters", role: "group", "aria-label": "filter the events" },
    ...chips, search);
  let kind = "all", words = "", errors = new Set(), at = 0;

  const fits = (row) => (kind === "all" || (kind === "error" ? errors.has(+row.dataset.number)
    : kind === "doubt" ? ["doubt", "decision"].includes(row.dataset.kind) : row.dataset.kind === kind))
    && (!words || row.textContent.toLowerCase().includes(words));
  const filter = (rows) => { for (const row of rows) row.hidden = !fits(row); };
  const all = () => filter(body.rows);
  bar.addEventListener("click", (event) => {
    const chip = event.target.closest("[data-filter]");
    if (!chip) return;
    kind = chip.dataset.filter;
    chips.forEach((one) => one.setAttribute("aria-pressed", one === chip));
    all();
  });
  search.addEventListener("input", () => { words = search.value.trim().toLowerCase(); all(); });
  return {
    nodes: [bar, box],
    add(html, full) {
      const atEnd = box.scrollTop + box.clientHeight >= box.scrollHeight - 4;
      if (full) body.replaceChildren();
      const before = body.rows.length;
      body.insertAdjacentHTML("beforeend", html);
      filter([...body.rows].slice(before));
      at = full || atEnd ? body.rows.length : at;
      if (atEnd) box.scrollTop = box.scrollHeight;
    },
    told(facts) {
      if (facts.errors) { errors = new Set(facts.errors); if (kind === "error") all(); }
      if (facts.at === undefined) return;
      const rows = body.rows;
      for (let i = Math.min(at, facts.at); i < Math.max(at, facts.at) && i < rows.length; i++)
        rows[i].classList.toggle("sgf-future", i >= facts.at);
      body.querySelector(".sgf-here")?.classList.remove("sgf-here");
      const here = rows[facts.at - 1];
      if (here && facts.at < rows.length) {
        here.classList.add("sgf-here");
        const top = here.offsetTop - box.clientHeight / 2;
        if (Math.abs(box.scrollTop - top) > box.clientHeight / 2 - 40) box.scrollTop = top;
      }
      if (facts.at === rows.length && at < facts.at) box.scrollTop = box.scrollHeight;
      at = facts.at;
    },
  };
}

function render({ el }, { known, send, open, close, gone }) {
  const panes = Object.fromEntries(PANES.map((name) => [name, element("div", { "data-pane": name })]));
  const slider = element("input", { type: "range", class: "sgf-slider", min: "1", step: "1", "aria-label": "event" });
  const position = element("output", { class: "sgf-position" });
  const now = element("button", { type: "button", class: "sgf-button sgf-small sgf-present", "data-do": "live" }, "live");
  const travel = element("div", { class: "sgf-travel" }, now, slider, position);
  const message = element("p", { class: "sgf-message", role: "status", "aria-live": "polite" });
  const link = element("p", { class: "sgf-link", role: "status", "aria-live": "polite" });
  const table = events();
  const all = element("fieldset", { class: "sgf-all" }, ...PANES.map((name) => panes[name]), travel, message);
  const root = element("div", { class: "sgf sgf-inspector", role: "group", "aria-label": "inspector",
    "data-lm-suppress-shortcuts": "true" }, link, all, ...table.nodes);
  let opened = null, touched = -Infinity, due = 0;

  const twin = () => el.closest(".jp-OutputArea-child")?.previousElementSibling?.querySelector(".sgf-static");
  const alive = () => root.classList.add("sgf-live");
  const show = (name, focus) => {
    opened = name;
    for (const form of root.querySelectorAll("[data-form]")) form.hidden = form.dataset.form !== name;
    for (const button of root.querySelectorAll(".sgf-buttons [data-open][aria-expanded]"))
      button.setAttribute("aria-expanded", button.dataset.open === name);
    if (focus) root.querySelector("[data-form]:not([hidden])")?.querySelector("input,textarea")?.focus();
  };
  const reopen = () => { if (opened) show(opened, false); };
  const moved = () => {
    const { at = 1, live = true } = known.facts;
    slider.max = String(known.total);
    if (performance.now() - touched > AT_HAND) slider.value = String(at);
    position.textContent = `${at} / ${known.total}`;
    slider.setAttribute("aria-valuetext", live ? `event ${at} of ${known.total}, live` : `event ${at} of ${known.total}`);
    now.setAttribute("aria-pressed", live);
    now.textContent = live ? "live" : "go live";
    root.classList.toggle("sgf-past", !live);
  };
  const drawn = ({ panes: changed, rows, full, facts }) => {
    for (const [name, html] of Object.entries(changed)) if (panes[name]) replaced(panes[name], html, reopen);
    if (changed.head !== undefined) panes.head.querySelector(".sgf-chip")?.classList.add("sgf-state");
    if (opened) show(root.querySelector(`[data-form="${CSS.escape(opened)}"]`) ? opened : null, false);
    if (rows || full) table.add(rows, full);
    table.told(facts);
    moved();
    if (facts.message !== undefined && message.textContent !== facts.message) message.textContent = facts.message;
    message.classList.toggle("sgf-bad", known.facts.tone === "bad" && message.textContent !== "");
    root.classList.toggle("sgf-driving", known.facts.driving === true);
  };
  const linked = () => {
    root.classList.toggle("sgf-busy", known.link === "busy");
    root.classList.toggle("sgf-gone", known.link === "gone");
    all.disabled = known.link === "gone";
    link.textContent = { live: "", busy: BUSY, gone: GONE }[known.link];
  };

  root.addEventListener("click", (event) => {
    const target = event.target.closest("[data-open],[data-do],[data-number],[data-step][data-target]");
    if (!target || target.disabled || target.localName === "form" || known.link === "gone") return;
    if (target.dataset.open !== undefined) return show(opened === target.dataset.open ? null : target.dataset.open, true);
    if (target.dataset.do) return send(told(target));
    if (target.dataset.target) return send({ do: "select", step: target.dataset.step, target: target.dataset.target });
    if (target.localName !== "tr" || event.target.closest(".sgf-go")) send({ do: "travel", at: +target.dataset.number });
  });
  /* JupyterLab takes keys from what has the focus, unless that very element says that it keeps them. */
  root.addEventListener("focusin", (event) => event.target.setAttribute("data-lm-suppress-shortcuts", "true"));
  root.addEventListener("keydown", (event) => {
    const box = event.target.closest("[role=button][data-step]");
    if (!box || (event.key !== "Enter" && event.key !== " ")) return;
    event.preventDefault();
    send({ do: "select", step: box.dataset.step, target: box.dataset.target });
  });
  root.addEventListener("submit", (event) => {
    event.preventDefault();
    send({ ...Object.fromEntries(new FormData(event.target)), ...told(event.target) });
  });
  const travelled = () => {
    due = 0;
    send({ do: "travel", at: +slider.value });
  };
  slider.addEventListener("input", () => {
    touched = performance.now();
    if (!due) due = setTimeout(travelled, FRAME);
    setTimeout(moved, AT_HAND + FRAME);
  });

  const view = { drawn, linked, alive };
  if (el.getRootNode() instanceof ShadowRoot)
    el.classList.add(document.querySelector(".dark,[data-theme=dark]") ? "dark" : "light");
  el.append(root);
  if (known.seq >= 0) drawn({ panes: known.panes, rows: known.rows.join(""), full: true, facts: known.facts });
  linked();
  if (known.heard) alive();
  /* Beside a static snapshot it waits for a sign of the kernel: a notebook that was opened again has none. */
  setTimeout(() => { if (!twin()) alive(); }, 0);
  open(view);
  return {
    lost: () => { if (el.classList.contains("jupyter-widgets-disconnected")) gone(); },
    end: () => { clearTimeout(due); close(view); },
  };
}

export default () => {
  let known = null;
  const of = (model) => (known ??= knowledge(model));
  return {
    initialize({ model }) { of(model); },
    render({ model, el }) {
      const { lost, end } = render({ el }, of(model));
      model.on("comm_live_update", lost);
      return () => { model.off("comm_live_update", lost); end(); };
    },
  };
};
