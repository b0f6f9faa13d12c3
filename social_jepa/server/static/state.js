// What the page knows of the run, and requests to the server, which a proxy may serve below any path.

export const state = { status: null, agents: [], names: [], total: 0, tick: 0, playing: true, edge: null, source: null, leaving: null, focus: null, least: 0, asOf: null, drawn: "" };

export async function request(path, method = "GET", body = undefined) {
  const options = { method, headers: {} };
  if (body !== undefined) {
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Error("The server does not respond: is social-jepa serve still running?");
  }
  if (response.ok) return response.status === 204 ? null : (response.headers.get("Content-Type") ?? "").includes("json") ? response.json() : response.text();
  const problem = await response.json().catch(() => null);
  throw new Error(problem ? `${problem.title}: ${problem.detail}` : `The server replied ${response.status}.`);
}
