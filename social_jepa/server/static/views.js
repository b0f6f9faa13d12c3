// What the cameras see, and the clock of their pictures.
import { $, element, place, put, rowsOf } from "./elements.js";
import { shownAgents } from "./shown.js";
import { state } from "./state.js";

const count = () => state.status?.ticks ?? 2 ** 53; // ticks of a source of frames, which begin again; a rendered scene never ends
export const viewUrl = (name, tick) => `api/agents/${place(name)}/view.png?tick=${tick}`;

const camera = (agent) =>
  element("figure", {}, element("img", { className: "pixels", width: 96, height: 96 }), element("figcaption", {}, element("b", { textContent: agent.name }), element("span")));

export function showCameras() {
  rowsOf($("cameras"), shownAgents(), camera, (figure, agent) => {
    put(figure.querySelector("span"), agent.phase);
    figure.querySelector("img").alt = `view of ${agent.name}`;
  });
}

export function step() {
  if (document.hidden) return;
  if (state.playing) state.tick = (state.tick + 1) % count();
  if (document.activeElement !== $("tick")) $("tick").value = state.tick;
  for (const figure of $("cameras").children) {
    const image = figure.querySelector("img");
    if (figure.dataset.name === state.leaving || figure.dataset.tick === String(state.tick) || (image.getAttribute("src") && !image.complete)) continue;
    figure.dataset.tick = state.tick;
    image.src = viewUrl(figure.dataset.name, state.tick);
  }
  if (state.tick % 5 === 0 || !state.playing) showCards();
}

// The pictures on the cards of the graph; of many agents only those that are shown, the others keep theirs.
export function showCards() {
  const shown = new Set(shownAgents().map((agent) => agent.name));
  for (const card of $("graph").querySelectorAll(".card")) {
    const image = card.querySelector("image");
    const { agent } = card.dataset;
    if (image && agent !== state.leaving && (shown.has(agent) || !image.getAttribute("href"))) image.setAttribute("href", viewUrl(agent, state.tick));
  }
}

$("play").addEventListener("click", () => {
  state.playing = !state.playing;
  $("play").textContent = state.playing ? "Pause" : "Play";
  $("play").setAttribute("aria-pressed", state.playing);
});
$("tick").addEventListener("change", () => {
  state.tick = Math.max(0, Math.min(count() - 1, Math.floor(Number($("tick").value) || 0)));
  state.playing = false;
  $("play").textContent = "Play";
  $("play").setAttribute("aria-pressed", "false");
  step();
});
