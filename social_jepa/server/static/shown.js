// Which agents have their pictures and plots on the page: of many, those that somebody looks at.
import { MANY } from "./matrix.js";
import { state } from "./state.js";

const CROWDED = 8; // agents above which edges hide each other in the drawing

let all = false;

const joinedAgents = () => state.agents.filter((agent) => agent.joined);
export const areCrowded = () => state.total > CROWDED;
const areMany = () => state.total > MANY;

export function shownAgents() {
  const joined = joinedAgents();
  if (all || !areMany()) return joined;
  const present = new Set(joined.map((agent) => agent.name));
  const wanted = [...(state.edge ?? []), state.focus, ...present].filter((name) => present.has(name));
  const shown = new Set([...new Set(wanted)].slice(0, MANY));
  return joined.filter((agent) => shown.has(agent.name));
}

export function showButtons(redraw) {
  for (const button of document.querySelectorAll("button.all")) {
    button.hidden = !areMany();
    button.textContent = all ? `Show ${MANY}` : `Show all ${joinedAgents().length}`;
    button.onclick = () => {
      all = !all;
      redraw();
    };
  }
}
