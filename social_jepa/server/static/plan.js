// A plan of the room in a form: press to place a camera, drag to aim it. The field of the pose does the same by keyboard.
import { $, number } from "./elements.js";
import { state } from "./state.js";

const SVG = "http://www.w3.org/2000/svg";
const MARGIN = 1; // meters around the room and the cameras
const REACH = 1.6; // meters of the wedge that shows where the camera looks
const LEAST = 0.15; // meters that a pointer is dragged before it aims

const made = (tag, properties, ...children) => {
  const node = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(properties)) node.setAttribute(key, value);
  node.append(...children);
  return node;
};
const parts = (text) => text.split(",").map((part) => (part.trim() === "" ? NaN : Number(part)));

// The numbers of a pose; what a text lacks is taken from another camera.
function poseOf(text) {
  const given = parts(text);
  const other = parts(state.agents[0]?.pose ?? "0,3.2,4.8,90,-35");
  return other.slice(0, 5).map((value, index) => (Number.isFinite(given[index]) ? given[index] : value));
}

function wedge([x, , z, yaw], kind) {
  const ray = (turn) => [x + REACH * Math.cos(((yaw + turn) * Math.PI) / 180), z - REACH * Math.sin(((yaw + turn) * Math.PI) / 180)].join(",");
  return made("g", { class: kind }, made("path", { d: `M${x},${z}L${ray(30)}L${ray(-30)}Z` }), made("circle", { cx: x, cy: z, r: 0.16 }));
}

export function makePlan(svg, field) {
  let start = null;

  function show() {
    const drawing = $("graph").querySelector("svg");
    const planned = drawing?.dataset.room !== undefined; // a source of frames has no room
    svg.toggleAttribute("hidden", !planned);
    if (!planned) return;
    const size = Number(drawing.dataset.room);
    const others = state.agents.map((agent) => poseOf(agent.pose));
    const half = Math.max(size / 2, ...others.map(([x, , z]) => Math.max(Math.abs(x), Math.abs(z)))) + MARGIN;
    svg.setAttribute("viewBox", `${-half} ${-half} ${2 * half} ${2 * half}`);
    // walls and objects as the drawing of the graph has them, in meters
    const room = drawing.querySelector("rect.room");
    const center = ["x", "y"].map((key, index) => Number(room.getAttribute(key)) + Number(room.getAttribute(["width", "height"][index])) / 2);
    const scale = 1 / Number(drawing.dataset.scale);
    const parts = [...drawing.querySelectorAll(".room, .object")].map((node) => node.cloneNode(true));
    const inside = made("g", { transform: `scale(${scale}) translate(${-center[0]} ${-center[1]})` }, ...parts);
    const chosen = field.value.trim() ? [wedge(poseOf(field.value), "chosen")] : [];
    svg.replaceChildren(inside, ...others.map((pose) => wedge(pose, "other")), ...chosen);
  }

  function at(event) {
    const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    return [point.x, point.y];
  }

  function write([x, y, z, yaw, pitch]) {
    const short = (value) => number(value, 2).replace("−", "-").replace(/\.?0+$/, "");
    field.value = [x, y, z, yaw, pitch].map(short).join(",");
    show();
  }

  svg.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    event.preventDefault();
    svg.setPointerCapture(event.pointerId);
    start = at(event);
    const [, y, , , pitch] = poseOf(field.value);
    write([start[0], y, start[1], (Math.atan2(start[1], -start[0]) * 180) / Math.PI, pitch]); // towards the middle of the room
  });
  svg.addEventListener("pointermove", (event) => {
    if (!start) return;
    const [dx, dz] = at(event).map((value, index) => value - start[index]);
    if (Math.hypot(dx, dz) < LEAST) return;
    const [x, y, z, , pitch] = poseOf(field.value);
    write([x, y, z, (Math.atan2(-dz, dx) * 180) / Math.PI, pitch]);
  });
  for (const end of ["pointerup", "pointercancel"]) svg.addEventListener(end, () => (start = null));
  field.addEventListener("input", show);
  return show;
}
