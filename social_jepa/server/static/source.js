// What the page says where agents see a source of frames, which has views in the place of a room with cameras.
import { $ } from "./elements.js";

const ROOM_KINDS = ["seq_jepa", "p_jepa"]; // kinds of world model that need a camera that moves in a room

export function showSource({ views }) {
  if (views === null) return;
  for (const node of document.querySelectorAll("[data-source]")) node.textContent = node.dataset.source.replace("{last}", views - 1);
  for (const id of ["add", "move"]) $(id).querySelector("[name=pose]").placeholder = "view=0";
  for (const option of $("add").elements.kind.options) option.disabled = ROOM_KINDS.includes(option.text);
}
