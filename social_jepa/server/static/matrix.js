// The table of all edges as a grid with one tab stop: arrow keys move between its cells. From many agents on, a cell
// is a shade without a number, so that 64 agents fit on a screen; what it stands for is said below the table.
import { element, number, put } from "./elements.js";

export const MANY = 12; // agents above which cells have no numbers
export const MARKS = { refused: "✕", failed: "!", stale: "↻" };
const CLASSES = [0.2, 0.4, 0.6, 0.8];
const STEPS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

export function makeMatrix(table, remark, select) {
  let names = [];
  let cells = []; // cells[row][column]; null on the diagonal
  let current = null; // the cell that the tab key reaches

  function build(agents) {
    const [row, column] = current && names.length ? [names[current.row], names[current.column]] : [];
    const focused = table.contains(document.activeElement);
    names = agents;
    const corner = element("td", { role: "presentation" });
    const head = element("tr", { role: "row" }, corner, ...agents.map((name) => element("th", { scope: "col", role: "columnheader" }, element("span", { textContent: name }))));
    cells = agents.map((from, i) => agents.map((to, j) => (i === j ? null : cell(from, to))));
    const rows = agents.map((from, i) => element("tr", { role: "row" }, element("th", { scope: "row", role: "rowheader", textContent: from }), ...cells[i].map((each) => each ?? element("td", { className: "self", role: "gridcell" }))));
    table.classList.toggle("many", agents.length > MANY);
    table.replaceChildren(element("thead", {}, head), element("tbody", {}, ...rows));
    const kept = [agents.indexOf(row), agents.indexOf(column)];
    current = null;
    reach(...(kept.includes(-1) ? [0, 1] : kept), focused);
  }

  function cell(from, to) {
    const made = element("td", { tabIndex: -1, role: "gridcell" });
    Object.assign(made.dataset, { from, to });
    return made;
  }

  // Make a cell the one that the tab key reaches.
  function reach(row, column, focus) {
    const found = cells[row]?.[column];
    if (!found) return;
    if (current) cells[current.row][current.column].tabIndex = -1;
    current = { row, column };
    found.tabIndex = 0;
    if (focus) found.focus();
  }

  function fill(node, kind, value) {
    const many = names.length > MANY;
    const { from, to } = node.dataset;
    const words = kind ? `${kind}, R² ${number(value, 2)}` : "not negotiated yet";
    const figure = many ? "" : number(value, 2);
    const text = kind ? [MARKS[kind], figure].filter(Boolean).join(" ") : many ? "" : "none yet";
    const shade = `q${CLASSES.filter((border) => (value ?? 0) >= border).length}`;
    const style = kind === "accepted" ? shade : (kind ?? "none");
    put(node, text);
    if (node.className !== style) node.className = style;
    const label = `${from} to ${to}: ${words}`;
    if (node.getAttribute("aria-label") !== label) node.setAttribute("aria-label", label);
  }

  const cellOf = (event) => event.target.closest("td[data-from]");
  const say = (event) => {
    const found = cellOf(event);
    if (found) put(remark, found.getAttribute("aria-label"));
  };
  table.addEventListener("mouseover", say);
  table.addEventListener("focusin", say);
  table.addEventListener("click", (event) => {
    const found = cellOf(event);
    if (!found) return;
    reach(names.indexOf(found.dataset.from), names.indexOf(found.dataset.to), true);
    select(found.dataset.from, found.dataset.to);
  });
  table.addEventListener("keydown", (event) => {
    const found = cellOf(event);
    if (!found || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Enter" || event.key === " ") select(found.dataset.from, found.dataset.to);
    else if (!go(event.key)) return;
    event.preventDefault();
  });

  // Move by a key of a grid; return whether it is one.
  function go(key) {
    const last = names.length - 1;
    const { row, column } = current;
    if (key === "Home" || key === "End") {
      const edge = key === "Home" ? 0 : last;
      reach(row, edge === row ? edge + (edge ? -1 : 1) : edge, true);
      return true;
    }
    if (!STEPS[key]) return false;
    const [down, right] = STEPS[key];
    const beyond = row + down === column + right ? 2 : 1; // over the diagonal
    reach(row + beyond * down, column + beyond * right, true);
    return true;
  }

  return {
    show({ agents, status, r2_shared: values }) {
      if (agents.join("\n") !== names.join("\n")) build(agents);
      cells.forEach((row, i) => row.forEach((node, j) => node && fill(node, status[i][j], values[i][j])));
    },
    press(from, to) {
      for (const each of table.querySelectorAll("[aria-selected=true]")) each.removeAttribute("aria-selected");
      cells[names.indexOf(from)]?.[names.indexOf(to)]?.setAttribute("aria-selected", "true");
    },
  };
}
