// The graph as seen from above, the table of its edges, and the edge that is selected.
import { $, clock, element, number, options, place, put, whole } from "./elements.js";
import { onEdge, showEdges } from "./edges.js";
import { showPlan } from "./forms.js";
import { offerNames, PAGE } from "./lists.js";
import { makeMatrix, MARKS } from "./matrix.js";
import { areCrowded } from "./shown.js";
import { request, state } from "./state.js";
import { asOf, onTime, versionsOf } from "./time.js";
import { showCameras, showCards } from "./views.js";

const matrix = makeMatrix($("matrix"), $("cell"), select);
let drawn = ""; // address of the newest drawing that was requested
let shown = ""; // and of the newest table
onTime(() => Promise.all([showGraph(), showEdges()]));
onEdge(select);

export async function showGraph() {
  const joined = state.names;
  if (!joined.length) return;
  $("translation").classList.toggle("crowded", areCrowded());
  if (state.asOf === null) offerFocus(joined);
  const drawing = state.asOf === null ? draw() : null; // beside the table; which agents there were earlier the table says
  drawing?.catch(() => {}); // thrown below, if the table is there
  const address = (shown = `api/quality?limit=${PAGE}${ofFocus()}${asOf("&")}`);
  const quality = await request(address);
  if (address !== shown) return; // another time was chosen meanwhile
  if (!drawing) offerFocus(quality.agents);
  matrix.show(quality);
  const part = quality.agents.length < quality.total;
  $("matrix-part").hidden = !part;
  put($("matrix-part"), part ? `${quality.agents[0]} and the agents that it has edges with, ${quality.agents.length} of ${whole(quality.total)}` : "");
  mark();
  await (drawing ?? draw());
  if (state.edge && (part || state.edge.every((name) => quality.agents.includes(name)))) await select(...state.edge, false);
  else if (state.edge) {
    state.edge = null;
    $("edge-heading").textContent = "No edge selected";
    $("edge").replaceChildren(element("p", { className: "note", textContent: "One of its agents left. Select another arrow." }));
  }
}

function offerFocus(names) {
  offerNames($("focus"), names, [element("option", { value: "", textContent: "all agents" })], options);
  if (areCrowded() && state.focus === null) state.focus = names[0];
  if (state.focus && state.total <= PAGE && !names.includes(state.focus)) state.focus = "";
  if (document.activeElement !== $("focus")) $("focus").value = state.focus ?? "";
}

const ofFocus = () => (state.focus ? `&focus=${encodeURIComponent(state.focus)}` : "");

async function draw() {
  const parts = [`tick=${state.tick}`, ...(state.least > 0 ? [`min_r2=${state.least}`] : [])];
  const pictures = state.asOf === null ? "linked" : "none"; // cameras may stand elsewhere now
  const address = (drawn = `api/graph.svg?pictures=${pictures}&styled=false&${parts.join("&")}${ofFocus()}${asOf("&")}`);
  const text = await request(address);
  if (address !== drawn) return; // another one was requested meanwhile
  const drawing = document.importNode(new DOMParser().parseFromString(text, "image/svg+xml").documentElement, true);
  const focused = document.activeElement?.closest("#graph g") ? { ...document.activeElement.dataset } : null;
  for (const edge of drawing.querySelectorAll("g.edge")) prepare(edge);
  for (const card of drawing.querySelectorAll(".card")) prepareCard(card);
  $("graph").replaceChildren(drawing);
  showCards();
  showPlan();
  mark();
  if (focused) find(focused)?.focus({ preventScroll: true });
}

function find({ from, to, agent }) {
  return [...$("graph").querySelectorAll("g.edge, g.card")].find(({ dataset }) => dataset.from === from && dataset.to === to && dataset.agent === agent);
}

function onPress(node, act) {
  node.setAttribute("tabindex", "0");
  node.setAttribute("role", "button");
  node.addEventListener("click", act);
  node.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    act();
  });
}

function prepare(edge) {
  const { from, to } = edge.dataset;
  const hit = edge.querySelector("path").cloneNode();
  hit.setAttribute("class", "hit");
  edge.append(hit);
  edge.setAttribute("aria-label", edge.querySelector("title").textContent);
  onPress(edge, () => select(from, to));
}

function prepareCard(card) {
  const { agent } = card.dataset;
  card.querySelector("image")?.removeAttribute("href"); // showCards decides which are requested
  card.setAttribute("aria-label", `show the edges of ${agent} alone`);
  onPress(card, () => setFocus(state.focus === agent ? "" : agent));
}

async function setFocus(name) {
  const before = state.focus;
  state.focus = name;
  $("focus").value = name;
  showCameras();
  try {
    await (state.total > PAGE ? showGraph() : draw()); // of many agents the table has those around the focus
    put($("focus-note"), "");
  } catch (error) {
    state.focus = before;
    put($("focus-note"), error.message);
  }
}

document.addEventListener("change", ({ target }) => target.id === "focus" && setFocus(target.value.trim()));
$("least").addEventListener("change", () => {
  state.least = Math.max(0, Math.min(1, Number($("least").value) || 0));
  draw();
});

// Mark the selected edge in the drawing and in the table.
function mark() {
  const [from, to] = state.edge ?? [];
  for (const each of $("graph").querySelectorAll("g.edge")) each.classList.toggle("selected", each.dataset.from === from && each.dataset.to === to);
  matrix.press(from, to);
}

async function select(from, to, byUser = true) {
  state.edge = [from, to];
  mark();
  if (byUser && areCrowded() && ![from, to].includes(state.focus)) setFocus(from);
  try {
    showEdge(await request(`api/edges/${place(from, to)}${asOf()}`));
    if (byUser && !$("matrix").contains(document.activeElement)) $("edge-heading").focus({ preventScroll: window.innerWidth > 960 });
  } catch (error) {
    $("edge-heading").textContent = `${from} → ${to}`;
    $("edge").replaceChildren(element("p", { className: "note", textContent: error.message }));
  }
}

function showEdge(edge) {
  put($("edge-heading"), `${edge.source} → ${edge.target}`);
  const verdict = element("b", { className: edge.status, textContent: `${MARKS[edge.status] ?? "✓"} ${edge.status}` });
  const rows = [
    ["verdict", verdict], ["shared directions", `${edge.shared_dim} of ${edge.core_dims[0]} and ${edge.core_dims[1]}`], ["R² shared", number(edge.r2_shared)],
    ["chance correlation", number(edge.null_correlation, 2)], ["R² all dimensions", number(edge.r2)], ["retrieval@1", number(edge.retrieval_at_1, 2)], ["pairs", `${edge.anchors} fitted, ${edge.heldout} held out`],
    ["bytes", whole(edge.bytes)], ["round", String(edge.round)], ["recorded", clock(edge.time)],
  ].flatMap(([term, value]) => [element("dt", { textContent: term }), element("dd", {}, value)]);
  const version = `${edge.source_checkpoint}-${edge.target_checkpoint}-${edge.round}`;
  const picture = element("img", { alt: `Held-out correlations of the directions: ${edge.correlations.map((value) => number(value, 2)).join(", ")}` });
  const path = `api/edges/${place(edge.source, edge.target)}`;
  picture.src = `${path}/directions.svg${asOf()}#${version}`;
  const caption = element("p", { className: "note", textContent: "Held-out correlation of each pair of directions: filled: shared, hollow: private, dark line: chance; an isometry has all at 1." });
  const inVersions = Boolean(document.activeElement?.closest("#edge .versions"));
  $("edge").replaceChildren(
    ...(edge.reason ? [element("p", { textContent: edge.reason })] : []), element("dl", {}, ...rows),
    ...(edge.correlations.length ? [picture, caption] : []), ...(edge.status === "accepted" ? [downloads(path)] : []),
  );
  showVersions(edge, path, inVersions);
}

function downloads(path) {
  const links = ["safetensors", "npz"].map((form) => element("a", { href: `${path}/map?format=${form}${asOf("&")}`, textContent: form, download: "" }));
  return element("p", { className: "downloads" }, "Download the map: ", links[0], ", ", links[1]);
}

// The versions follow when they are known, if the same edge is still shown.
async function showVersions(edge, path, focus) {
  const heading = $("edge-heading").textContent;
  const list = await versionsOf(edge, path, number).catch(() => null);
  if (!list || $("edge-heading").textContent !== heading || heading !== `${edge.source} → ${edge.target}`) return;
  $("edge").querySelector(".versions")?.remove();
  $("edge").append(list);
  if (focus && document.activeElement === document.body) list.querySelector("[aria-pressed=true]")?.focus();
}
