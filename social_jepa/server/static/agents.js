// The table of agents, and the plots of their losses.
import { $, clock, duration, element, number, options, place, put, rowsOf, whole } from "./elements.js";
import { move, pause, remove } from "./forms.js";
import { offerNames, pager, sortable } from "./lists.js";
import { showButtons, shownAgents } from "./shown.js";
import { state } from "./state.js";
import { showCameras } from "./views.js";

export function failureText({ cause, type, message, file, line, phase, step, traceback_file }) {
  const place = file ? `, ${file} line ${line}` : "";
  const found = traceback_file ? `; traceback: ${traceback_file}` : "";
  return `${(cause === "process_died" ? [message] : [type, message]).filter(Boolean).join(": ")}${place} (${phase}, after ${step} steps)${found}`;
}

// Everything that a person should know about an agent: what `social-jepa status` prints below its table.
function notes(agent) {
  const silent = Object.keys(agent.unanswered ?? {}).sort((one, other) => one.localeCompare(other, "en", { numeric: true }));
  return [
    agent.failure && failureText(agent.failure),
    agent.flagged && `not trusted, its edges are refused: ${agent.flagged}`,
    agent.note,
    agent.silent_since && `gave no report since ${clock(agent.silent_since)}`,
    ...agent.unsaved.map(({ path, reason }) => `cannot write ${path} (${reason}), and tries again`),
    agent.waiting_for && `waits for ${agent.waiting_for}`,
    agent.idle_seconds && !agent.failure && `no step for ${duration(agent.idle_seconds)}${agent.idle_place ? `, in ${agent.idle_place}` : ""}`,
    silent.length && `no answer from ${silent.join(", ")}`,
    agent.cpu_wait > 0.5 && `waits for a CPU ${Math.round(100 * agent.cpu_wait)} % of the time`,
    agent.teacher && `teacher: ${agent.teacher}`,
  ].filter(Boolean).join("; ");
}

const isFrozen = (agent) => agent.kind.startsWith("frozen:");

// Heading, class, text and sort key of each column before the buttons.
const COLUMNS = [
  ["agent", "text", (agent) => agent.name, "name"],
  ["phase", "text", (agent) => agent.phase, "phase"],
  ["step", "figure", (agent) => isFrozen(agent) ? "frozen" : (agent.steps ? `${whole(agent.step)} of ${whole(agent.steps)}` : whole(agent.step)), "step"],
  ["left", "figure", (agent) => duration(agent.seconds_left), "seconds_left"],
  ["loss", "figure", (agent) => number(agent.loss), "loss"],
  ["drift", "figure", (agent) => number(agent.drift), "drift"],
  ["frames/s", "figure", (agent) => whole(agent.frames_per_s), "frames_per_s"],
  ["core", "figure", (agent) => (agent.core_dim === null ? "–" : agent.collapsed ? "collapsed" : `${agent.core_dim} of ${agent.dim}`), "core_dim"],
  ["kind", "text", (agent) => agent.kind, "kind"],
  ["device", "text", (agent) => agent.device || "–", "device"],
  ["process", "text", (agent) => (agent.pid ? `${agent.host} ${agent.pid}` : "–"), "host"],
  ["incarnation", "figure", (agent) => String(agent.incarnation), "incarnation"],
  ["saved", "figure", (agent) => (agent.saved_at ? clock(agent.saved_at) : "–"), "saved_at"],
  ["notes", "text remark", notes],
];

let changed = async () => {};
export const onAgents = (refresh) => (changed = refresh); // called where another part of the list is wanted
const sort = sortable($("agent-columns"), [...COLUMNS, ["actions", "text"]], () => changed());
const pages = pager($("agent-pages"), "agents", () => changed());
$("agent-name").addEventListener("input", () => {
  pages.first();
  changed();
});

// The address of the part of the list that the table shows.
export function agentsAddress() {
  const part = $("agent-name").validity.valid ? $("agent-name").value : "";
  return `api/agents?${[pages.parameters(), sort() && `sort=${sort()}`, part && `name_contains=${encodeURIComponent(part)}`].filter(Boolean).join("&")}`;
}

export function showAgents(page) {
  if (pages.show(page)) changed();
  rowsOf($("agents"), state.agents, agentRow, (row, agent) => {
    COLUMNS.forEach(([, , text], index) => put(row.children[index], text(agent)));
    row.children[1].className = `text ${agent.phase === "failed" ? "failed" : ""}`;
    const [pausing, ...others] = row.querySelectorAll("button");
    pausing.hidden = isFrozen(agent);
    put(pausing, agent.paused ? "Resume" : "Pause");
    pausing.setAttribute("aria-label", `${agent.paused ? "Resume" : "Pause"} training of ${agent.name}`);
    for (const button of [pausing, ...others]) button.disabled = !state.status.up;
  });
  showPictures();
  if ($("agent-name").value) return; // menus offer names that the search leaves out as well
  const published = state.agents.filter((agent) => agent.published_at);
  offerNames($("add").elements.teacher, published.map((agent) => agent.name), [element("option", { value: "", textContent: "none: it trains alone" })], options);
  const fresh = !$("query").elements.to.value;
  for (const name of ["from", "to"]) offerNames($("query").elements[name], state.names, [], options);
  const { from, to } = $("query").elements;
  if (fresh && state.names.length > 1) [from.value, to.value] = state.names;
}

function showPictures() {
  showCameras();
  rowsOf($("losses"), shownAgents().filter((agent) => !isFrozen(agent)), lossFigure, (figure, agent) => {
    figure.dataset.of = `${agent.phase} ${agent.step} ${agent.checkpoint} ${agent.phase === "distilling" ? Date.now() : ""}`;
  });
  drawLosses();
  showButtons(showPictures);
}

function agentRow(agent) {
  const row = element("tr", {}, element("th", { scope: "row" }));
  for (const [, kind] of COLUMNS.slice(1)) row.append(element("td", { className: kind }));
  const buttons = [["Pause", pause], ["Move", move], ["Remove", remove]].map(([word, act]) => {
    const button = element("button", { type: "button", textContent: word, "aria-label": `${word} ${agent.name}` });
    button.addEventListener("click", () => act(agent.name));
    return button;
  });
  row.append(element("td", { className: "text" }, element("div", { className: "actions" }, ...buttons)));
  return row;
}

function lossFigure(agent) {
  const image = element("img", { alt: `Loss of ${agent.name} by step` });
  for (const type of ["load", "error"]) image.addEventListener(type, drawLosses);
  return element("figure", {}, image, element("figcaption", { textContent: agent.name }));
}

// One plot is drawn at a time, so that camera views, which the same thread of the server renders, come in between.
function drawLosses() {
  if (!state.drawn) return; // the graph comes first
  const figures = [...$("losses").children];
  const loading = (image) => image.getAttribute("src") && !image.complete;
  if (figures.some((figure) => loading(figure.querySelector("img")))) return;
  const age = (figure) => Date.now() - Number(figure.dataset.at ?? 0);
  const due = figures.filter(({ dataset }) => dataset.of !== dataset.drawn && dataset.name !== state.leaving);
  const [oldest] = due.sort((one, other) => age(other) - age(one));
  if (!oldest || age(oldest) < 1000 * Math.max(5, figures.length)) return;
  oldest.dataset.drawn = oldest.dataset.of;
  oldest.dataset.at = Date.now();
  oldest.querySelector("img").src = `api/agents/${place(oldest.dataset.name)}/loss.svg?version=${oldest.dataset.at}`;
}
