/* The page's part of the console: what the kernel draws of many instances, and the inspector of one in its place.
 *
 * It stands behind inspector.js in one module, and uses its `element`, `knowledge`, `replaced` and `render`.
 *
 * Names that tests and styles may rely on:
 *   .sgf-console               the root; .sgf-inspecting while one instance is open
 *   .sgf-list tr[data-id]      a row; its button .sgf-pick opens the instance
 *   .sgf-find                  the search field; [data-do=toggle][data-state], [data-do=nested], [data-do=more] the others
 *   .sgf-to-list               the button back to the list
 */
const TYPED = 120;
const DRAWN = ["head", "filters", "list", "rest"];

/* One model for each instance that is opened, through the model of the console. */
function passage(model, number) {
  const heard = new Set();
  return {
    number,
    known: knowledge({
      get: () => null,
      on: (name, hear) => heard.add(hear),
      send: (command) => model.send({ ...command, within: number }),
    }),
    pass: (message) => heard.forEach((hear) => hear(message)),
  };
}

function passages(model) {
  let present = null;
  const of = (number) => (present?.number === number ? present : (present = passage(model, number)));
  model.on("msg:custom", (message) => {
    if (message.kind === "within") of(message.number).pass(message.message);
  });
  return { of, gone: () => present?.known.gone() };
}

function listed({ el }, { known, send, open, close, gone }, within) {
  const panes = Object.fromEntries(DRAWN.map((name) => [name, element("div", { "data-pane": name })]));
  const find = element("input", { type: "search", class: "sgf-find", placeholder: "search id, saga or state",
    "aria-label": "search the instances" });
  const message = element("p", { class: "sgf-message", role: "status", "aria-live": "polite" });
  const said = element("p", { class: "sgf-said", role: "status", "aria-live": "polite" });
  const link = element("p", { class: "sgf-link", role: "status", "aria-live": "polite" });
  const bar = element("div", { class: "sgf-bar" }, panes.head, find);
  const all = element("fieldset", { class: "sgf-all" }, bar, panes.filters, message, panes.list, panes.rest, said);
  const list = element("div", { class: "sgf sgf-listed", role: "group", "aria-label": "instances" }, link, all);
  const back = element("button", { type: "button", class: "sgf-button sgf-to-list" }, "← Back to the list");
  const slot = element("div", { class: "sgf-slot" });
  const one = element("div", { class: "sgf-one", hidden: "" }, element("div", { class: "sgf sgf-way" }, back), slot);
  const root = element("div", { class: "sgf-console", "data-lm-suppress-shortcuts": "true" }, list, one);
  let inside = null, due = 0, came = null;

  const twin = () => el.closest(".jp-OutputArea-child")?.previousElementSibling?.querySelector(".sgf-static");
  const alive = () => list.classList.add("sgf-live");
  const leave = () => {
    inside?.end();
    inside = null;
    slot.replaceChildren();
  };
  const enter = (number) => {
    leave();
    inside = { number, ...render({ el: slot }, within.of(number).known) };
    back.focus({ preventScroll: true });
  };
  const moved = (number) => {
    const had = inside?.number ?? null;
    if (had === number) return;
    list.hidden = number !== null;
    one.hidden = number === null;
    root.classList.toggle("sgf-inspecting", number !== null);
    if (number !== null) return enter(number);
    leave();
    [...panes.list.querySelectorAll(".sgf-pick")].find((pick) => pick.dataset.id === came)?.focus();
  };
  const drawn = ({ panes: changed, facts }) => {
    for (const [name, html] of Object.entries(changed)) if (panes[name]) replaced(panes[name], html);
    if (facts.text !== undefined && find.getRootNode().activeElement !== find) find.value = facts.text;
    if (facts.message !== undefined) message.textContent = facts.message;
    if (facts.said !== undefined && said.textContent !== facts.said) said.textContent = facts.said;
    if (facts.opened !== undefined) moved(facts.opened);
  };
  const linked = () => {
    list.classList.toggle("sgf-busy", known.link === "busy");
    list.classList.toggle("sgf-gone", known.link === "gone");
    all.disabled = back.disabled = known.link === "gone";
    if (known.link === "gone") within.gone();
    link.textContent = { live: "", busy: BUSY, gone: GONE }[known.link];
  };

  list.addEventListener("click", (event) => {
    if (known.link === "gone") return;
    const button = event.target.closest("[data-do]");
    if (button) return send({ ...button.dataset });
    const row = event.target.closest("tr[data-id]");
    /* Whoever marks the text of a row to copy it does not want to leave it. */
    if (!row || !(document.getSelection()?.isCollapsed ?? true)) return;
    came = row.dataset.id;
    send({ do: "open", id: came });
  });
  find.addEventListener("input", () => {
    clearTimeout(due);
    due = setTimeout(() => send({ do: "search", text: find.value }), TYPED);
  });
  back.addEventListener("click", () => send({ do: "list" }));
  root.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || inside === null || event.target.closest("input,textarea,select")) return;
    event.preventDefault();
    send({ do: "list" });
  });

  const view = { drawn, linked, alive };
  if (el.getRootNode() instanceof ShadowRoot)
    el.classList.add(document.querySelector(".dark,[data-theme=dark]") ? "dark" : "light");
  el.append(root);
  if (known.seq >= 0) drawn({ panes: known.panes, facts: known.facts });
  linked();
  if (known.heard) alive();
  setTimeout(() => { if (!twin()) alive(); }, 0);
  open(view);
  return {
    lost: () => { if (el.classList.contains("jupyter-widgets-disconnected")) gone(); },
    end: () => { clearTimeout(due); leave(); close(view); },
  };
}

export default () => {
  let known = null, within = null;
  const of = (model) => [known ??= knowledge(model), within ??= passages(model)];
  return {
    initialize({ model }) { of(model); },
    render({ model, el }) {
      const { lost, end } = listed({ el }, ...of(model));
      model.on("comm_live_update", lost);
      return () => { model.off("comm_live_update", lost); end(); };
    },
  };
};
