"use strict";
// Bars, matrices, and what filters and enlarges; then everything that the page asks for is put in its place.
(() => {
  const { Lines, svg, html, button, colour, shown, place } = vfCharts;

  function search(parent, label, act) {
    const input = html("input", "", null, parent);
    input.type = "search";
    input.placeholder = label;
    input.setAttribute("aria-label", label);
    input.addEventListener("input", () => act(input.value.trim().toLowerCase()));
    return input;
  }

  function bars(figure, spec) {
    const top = html("div", "bar-top", null, figure);
    html("h3", "", spec.title, top);
    const box = html("div", "bars", null, figure);
    const most = spec.most ?? Math.max(...spec.rows.flatMap((row) => row.values.map((v) => Math.abs(v ?? 0))), 1e-12);
    let order = "as is", wanted = "";
    const draw = () => {
      const value = (row) => row.values.find((v) => v !== null) ?? -Infinity;
      const rows = spec.rows.filter((row) => row.name.toLowerCase().includes(wanted));
      if (order === "value") rows.sort((a, b) => value(b) - value(a));
      if (order === "name") rows.sort((a, b) => a.name.localeCompare(b.name));
      box.replaceChildren();
      for (const row of rows) bar(row, box);
      if (!rows.length) html("p", "soft", "none", box);
    };
    const bar = (row, parent) => {
      const line = html("div", "row", null, parent);
      html("span", "name", row.name, line).title = row.name;
      const track = html("span", row.values.length > 1 ? "track many" : "track", null, line);
      row.values.forEach((v, index) => {
        const one = html("i", "", null, track);
        one.style.width = `${v === null ? 0 : (100 * Math.min(most, Math.abs(v))) / most}%`;
        one.style.background = colour(index);
      });
      html("span", "value", row.texts ? row.texts.join("\n") : row.values.map(shown).join("\n"), line);
    };
    const tools = html("span", "tools", null, top);
    if (spec.rows.length > 3 && !spec.ordered) {
      for (const name of ["as is", "value", "name"]) {
        const node = button(name, tools, () => {
          order = name;
          for (const other of tools.querySelectorAll("button")) other.setAttribute("aria-pressed", other === node);
          draw();
        }, name === order);
      }
    }
    if (spec.rows.length > 12) search(top, "filter classes", (text) => { wanted = text; draw(); });
    if (spec.series) key(figure, spec.series);
    draw();
  }

  function key(figure, names) {
    const box = html("div", "legend", null, figure);
    names.forEach((name, index) => {
      const one = html("span", "tag", null, box);
      html("i", "", null, one).style.background = colour(index);
      one.append(` ${name}`);
    });
  }

  function matrix(figure, spec) {
    const top = html("div", "bar-top", null, figure);
    html("h3", "", spec.title, top);
    const counts = spec.counts;
    const rowSums = counts.map((row) => row.reduce((a, b) => a + b, 0));
    const columnSums = spec.columns.map((_, j) => counts.reduce((a, row) => a + row[j], 0));
    const tools = html("span", "tools", null, top);
    let byRow = true;
    const frame = html("div", "scroll", null, figure);
    const tip = html("div", "tip", null, figure);
    tip.hidden = true;
    const longest = Math.max(...[...spec.rows, ...spec.columns].map((n) => Math.min(18, n.length)));
    const margin = 14 + longest * 6.4;
    const room = Math.max(260, figure.clientWidth - 30) - margin;
    const cell = Math.max(9, Math.min(46, room / spec.columns.length));
    const cut = (name) => (name.length > 18 ? `${name.slice(0, 17)}…` : name);

    const share = (i, j) => counts[i][j] / Math.max(1e-12, byRow ? rowSums[i] : columnSums[j]);
    const draw = () => {
      frame.replaceChildren();
      const width = margin + cell * spec.columns.length + 4, height = margin + cell * spec.rows.length + 4;
      const sheet = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": spec.title }, frame);
      sheet.style.width = `${width}px`;
      sheet.style.height = `${height}px`;
      spec.rows.forEach((name, i) => {
        const text = svg("text", { x: margin - 6, y: margin + (i + 0.5) * cell + 4, "text-anchor": "end" }, sheet);
        text.textContent = cut(name);
      });
      spec.columns.forEach((name, j) => {
        const [x, y] = [margin + (j + 0.5) * cell + 4, margin - 6];
        svg("text", { x, y, transform: `rotate(-90 ${x} ${y})` }, sheet).textContent = cut(name);
      });
      counts.forEach((row, i) => row.forEach((count, j) => square(sheet, i, j, count)));
    };
    const square = (sheet, i, j, count) => {
      const part = share(i, j), x = margin + j * cell, y = margin + i * cell;
      const rect = svg("rect", { x: x + 0.5, y: y + 0.5, width: cell - 1, height: cell - 1, rx: 2,
        fill: `rgba(var(--shade), ${(0.05 + 0.95 * part).toFixed(3)})`, "data-cell": `${i} ${j}` }, sheet);
      rect.addEventListener("pointermove", (event) => {
        tip.textContent = `${spec.rows[i]} → ${spec.columns[j]}: ${spec.unit ? `${shown(count)} ${spec.unit}` : count}, ` +
          `${(100 * part).toFixed(1)} % of the ${byRow ? "row" : "column"}`;
        place(tip, event, figure);
      });
      rect.addEventListener("pointerleave", () => { tip.hidden = true; });
      if (cell < 27 || !count) return;
      const text = svg("text", { x: x + cell / 2, y: y + cell / 2 + 4, "text-anchor": "middle",
        "pointer-events": "none" }, sheet);
      text.textContent = spec.unit || count > 9999 ? `${Math.round(100 * part)}%` : count;
      if (part > 0.5) text.style.fill = "var(--card)";
    };
    for (const [name, rows] of [["of rows", true], ["of columns", false]]) {
      const node = button(name, tools, () => {
        byRow = rows;
        for (const other of tools.querySelectorAll("button")) other.setAttribute("aria-pressed", other === node);
        draw();
      }, rows === byRow);
      node.title = rows ? "shades say which part of what is there was said to be what" : "shades say what was right";
    }
    html("p", "soft", spec.note, figure);
    draw();
  }

  function gallery(box) {
    const figures = [...box.querySelectorAll("figure")];
    const top = box.querySelector(".bar-top"), count = html("span", "soft count", "", top);
    let wanted = "", group = "";
    const show = () => {
      for (const one of figures) {
        const fits = one.textContent.toLowerCase().includes(wanted);
        one.hidden = !fits || Boolean(group && one.dataset.group !== group);
      }
      const left = figures.filter((one) => !one.hidden).length;
      count.textContent = left === figures.length ? `${left} images` : `${left} of ${figures.length} images`;
    };
    const groups = [...new Set(figures.map((one) => one.dataset.group).filter(Boolean))];
    if (groups.length > 1) {
      const tools = html("span", "tools", null, top);
      const all = [["all", ""], ...groups.map((name) => [name, name])].map(([label, name]) =>
        button(label, tools, (node) => {
          group = name;
          for (const other of all) other.setAttribute("aria-pressed", other === node);
          show();
        }, name === group));
    }
    search(top, "filter images", (text) => { wanted = text; show(); });
    for (const one of figures) {
      const picture = one.querySelector("img");
      picture.tabIndex = 0;
      picture.addEventListener("click", () => enlarge(figures, one));
      picture.addEventListener("keydown", (event) => { if (event.key === "Enter") enlarge(figures, one); });
    }
    show();
  }

  let zoom = null;
  function dialog() {
    if (zoom) return zoom;
    const node = html("dialog", "zoom", null, document.body), inner = html("div", "", null, node);
    const top = html("div", "bar-top", null, inner), caption = html("p", "", null, top);
    caption.style.marginRight = "auto";
    const view = html("div", "view", null, inner), picture = html("img", "", null, view);
    zoom = { node, caption, picture, turn: () => {} };
    button("‹", top, () => zoom.turn(-1)).setAttribute("aria-label", "previous");
    button("›", top, () => zoom.turn(1)).setAttribute("aria-label", "next");
    button("close", top, () => node.close());
    picture.addEventListener("click", () => picture.classList.toggle("full"));
    node.addEventListener("click", (event) => { if (event.target === node) node.close(); });
    node.addEventListener("keydown", (event) => {
      if (event.key === "ArrowLeft") zoom.turn(-1);
      if (event.key === "ArrowRight") zoom.turn(1);
    });
    return zoom;
  }

  function enlarge(figures, figure) {
    const { node, caption, picture } = dialog();
    const set = (one) => {
      const from = one.querySelector("img");
      figure = one;
      picture.src = from.src;
      picture.alt = from.alt;
      picture.classList.remove("full");
      caption.textContent = one.querySelector("figcaption").innerText.replace(/\s*\n\s*/g, " · ");
    };
    zoom.turn = (by) => {
      const seen = figures.filter((one) => !one.hidden);
      set(seen[(seen.indexOf(figure) + by + seen.length) % seen.length]);
    };
    set(figure);
    node.showModal();
  }

  function filterTable(box) {
    const rows = [...box.querySelectorAll("tbody tr")];
    search(box.querySelector(".bar-top"), "filter rows", (text) => {
      for (const row of rows) row.hidden = !row.textContent.toLowerCase().includes(text);
    });
  }

  const kinds = { lines: (figure, spec) => new Lines(figure, spec), bars, matrix };
  const data = JSON.parse(document.getElementById("vf-data").textContent);
  for (const figure of document.querySelectorAll("[data-figure]")) {
    const spec = data[figure.dataset.figure];
    kinds[spec.kind](figure, spec);
  }
  document.querySelectorAll("[data-gallery]").forEach(gallery);
  document.querySelectorAll("[data-filter]").forEach(filterTable);
  document.body.dataset.ready = "yes";
})();
