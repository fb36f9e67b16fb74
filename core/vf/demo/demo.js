"use strict";
// Send an image, show what comes back. Nothing is kept, here or there.
(() => {
  const { html, shown } = vfCharts;
  const byId = (id) => document.getElementById(id);
  const [zone, input, slider, status, out] = ["zone", "file", "threshold", "status", "out"].map(byId);
  let chosen = null, turn = 0, timer = 0;

  function say(text, wrong) {
    status.textContent = text;
    status.className = wrong ? "note" : "soft";
    status.dataset.state = wrong ? "error" : text ? "busy" : "done";
  }

  async function send() {
    if (!chosen) return;
    const own = ++turn;
    say(`${chosen.name || "image"} …`);
    let answer;
    try {
      const address = `predict?threshold=${slider.value}&name=${encodeURIComponent(chosen.name || "")}`;
      const response = await fetch(address, { method: "POST", body: chosen,
        headers: { "Content-Type": "application/octet-stream" } });
      answer = await response.json();
    } catch {
      answer = { error: "the demo does not answer; is it still running?" };
    }
    if (own !== turn) return; // another image was chosen meanwhile
    if (answer.error) {
      out.hidden = true;
      return say(answer.error, true);
    }
    show(answer);
    say("");
  }

  function show(answer) {
    const { result } = answer;
    byId("picture").src = answer.picture;
    byId("caption").textContent =
      `${chosen.name || "image"} · ${result.width}×${result.height} px · ${shown(answer.milliseconds)} ms`;
    const said = byId("said");
    said.replaceChildren();
    if ("text" in result) html("p", "text", `“${result.text}”  ${shown(result.score)}`, said);
    for (const key of ["classes", "objects", "texts", "segments"]) if (key in result) table(said, key, result[key]);
    if ("pixels" in result) bars(said, "pixels", Object.entries(result.pixels));
    byId("json").textContent = JSON.stringify(result, null, 1);
    link("save-picture", answer.picture, "jpg");
    link("save-json", `data:application/json,${encodeURIComponent(JSON.stringify(result, null, 1))}`, "json");
    out.hidden = false;
  }

  function link(id, address, suffix) {
    byId(id).href = address;
    byId(id).download = `${(chosen.name || "image").replace(/\.\w+$/, "")}.${suffix}`;
  }

  function table(parent, title, rows) {
    html("h3", "", `${rows.length} ${title}`, parent);
    if (!rows.length) return;
    if (title === "classes") return bars(parent, "", rows.map((row) => [row.class, row.score]));
    const keys = Object.keys(rows[0]).filter((key) => !["label", "id"].includes(key) && !long(rows[0][key]));
    const sheet = html("table", "", null, html("div", "scroll", null, parent));
    const head = html("tr", "", null, html("thead", "", null, sheet)), body = html("tbody", "", null, sheet);
    for (const key of keys) html("th", "", key.replace("_", " "), head);
    for (const row of rows) {
      const line = html("tr", "", null, body);
      for (const key of keys) html("td", typeof row[key] === "number" ? "number" : "", cell(row[key]), line);
    }
  }

  const long = (value) => Array.isArray(value) && value.some((one) => typeof one === "object");
  const cell = (value) =>
    Array.isArray(value) ? value.map(Math.round).join(", ") : typeof value === "number" ? shown(value) : String(value);

  function bars(parent, title, rows) {
    if (title) html("h3", "", title, parent);
    const box = html("div", "bars", null, parent);
    for (const [name, value] of [...rows].sort((a, b) => b[1] - a[1])) {
      const line = html("div", "row", null, box);
      html("span", "name", name, line).title = name;
      const bar = html("i", "", null, html("span", "track", null, line));
      bar.style.width = `${100 * value}%`;
      bar.style.background = "var(--c0)";
      html("span", "value", shown(value), line);
    }
  }

  function take(files) {
    const file = [...(files || [])].find((one) => one.size !== undefined);
    if (!file) return;
    if (file.size > Number(zone.dataset.most)) return say(`${file.name}: has ${(file.size / 1e6).toFixed(1)} MB; ` +
      `at most ${(zone.dataset.most / 1e6).toFixed(0)} MB are taken`, true);
    chosen = file;
    send();
  }

  input.addEventListener("change", () => { take(input.files); input.value = ""; });
  document.addEventListener("paste", (event) => take(event.clipboardData && event.clipboardData.files));
  for (const name of ["dragover", "dragenter"]) {
    document.addEventListener(name, (event) => { event.preventDefault(); zone.classList.add("over"); });
  }
  for (const name of ["dragleave", "drop"]) document.addEventListener(name, () => zone.classList.remove("over"));
  document.addEventListener("drop", (event) => { event.preventDefault(); take(event.dataTransfer.files); });
  slider.addEventListener("input", () => {
    byId("value").textContent = Number(slider.value).toFixed(2);
    clearTimeout(timer);
    timer = setTimeout(send, 200);
  });
  byId("picture").addEventListener("click", (event) => event.target.classList.toggle("full"));
})();
