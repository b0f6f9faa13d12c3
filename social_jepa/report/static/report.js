// Pointing at an agent or an edge of the graph dims the rest. The page reads well without it.
for (const graph of document.querySelectorAll("svg.graph")) {
  const edges = [...graph.querySelectorAll(".edge, .figure")];
  const show = (chosen) => {
    graph.classList.toggle("focus", Boolean(chosen));
    for (const edge of edges) edge.classList.toggle("on", Boolean(chosen) && chosen(edge));
  };
  for (const part of graph.querySelectorAll(".card, .edge")) {
    const { agent, from, to } = part.dataset;
    const chosen = agent
      ? (edge) => edge.dataset.from === agent || edge.dataset.to === agent
      : (edge) => edge.dataset.from === from && edge.dataset.to === to;
    for (const event of ["pointerenter", "focus"]) part.addEventListener(event, () => show(chosen));
    for (const event of ["pointerleave", "blur"]) part.addEventListener(event, () => show(null));
  }
}
