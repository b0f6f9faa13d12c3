// The list of edges, a page at a time, in any order.
import { $, clock, element, number, whole } from "./elements.js";
import { pager, sortable } from "./lists.js";
import { MARKS } from "./matrix.js";
import { request } from "./state.js";
import { asOf } from "./time.js";

// Heading, class, text and sort key of each column.
const COLUMNS = [
  ["from", "text", (edge) => edge.source, "source"],
  ["to", "text", (edge) => edge.target, "target"],
  ["verdict", "text", (edge) => `${MARKS[edge.status] ?? "✓"} ${edge.status}`, "status"],
  ["R² shared", "figure", (edge) => number(edge.r2_shared), "r2_shared"],
  ["R² all", "figure", (edge) => number(edge.r2), "r2"],
  ["chance", "figure", (edge) => number(edge.null_correlation, 2), "null_correlation"],
  ["shared", "figure", (edge) => `${edge.shared_dim} of ${Math.min(...edge.core_dims)}`, "shared_dim"],
  ["bytes", "figure", (edge) => whole(edge.bytes), "bytes"],
  ["recorded", "figure", (edge) => clock(edge.time), "time"],
];

let select = () => {};
let shown = ""; // address of the newest page that was requested
const sort = sortable($("edge-columns"), [...COLUMNS, ["details", "text"]], reload);
const pages = pager($("edge-pages"), "edges", reload);
const message = (text) => ($("edges-message").textContent = text);

export const onEdge = (act) => (select = act);

export async function showEdges() {
  const [agent, status] = [$("edge-agent").value.trim(), $("edge-status").value];
  const conditions = [agent && `agent=${encodeURIComponent(agent)}`, status && `status=${status}`, sort() && `sort=${sort()}`].filter(Boolean);
  const address = (shown = `api/edges?${[pages.parameters(), ...conditions].join("&")}${asOf("&")}`);
  const page = await request(address);
  if (address !== shown) return;
  message("");
  if (pages.show(page)) return showEdges();
  $("edges").replaceChildren(...page.items.map(row));
}

function row(edge) {
  const texts = COLUMNS.map(([, kind, text]) => element("td", { className: kind, textContent: text(edge) }));
  const button = element("button", { type: "button", className: "quiet", textContent: "Show", "aria-label": `Show the edge from ${edge.source} to ${edge.target}` });
  button.addEventListener("click", () => select(edge.source, edge.target));
  return element("tr", {}, ...texts, element("td", {}, button));
}

function reload() {
  showEdges().catch((error) => message(error.message));
}

for (const id of ["edge-agent", "edge-status"]) {
  $(id).addEventListener("change", () => {
    pages.first();
    reload();
  });
}
