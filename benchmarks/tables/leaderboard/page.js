"use strict";
// The table is complete without this script; it sorts, filters, draws the plot and opens the pictures.
window.addEventListener("error", (event) => { document.documentElement.dataset.error = event.message; });
(() => {
  const get = (id) => document.getElementById(id);
  const { lines, scores, gallery } = JSON.parse(get("data").textContent);
  const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
  const body = document.querySelector("#table tbody");
  const rows = [...body.rows];
  const of = (row) => lines[Number(row.dataset.index)];

  // ---- sort and filter
  const sorting = { key: "", down: false };
  function filtered() {
    const task = get("task").value, set = get("set") ? get("set").value : "", text = get("find").value.toLowerCase();
    let shown = 0;
    for (const row of rows) {
      const line = of(row);
      row.hidden = (task && line.task !== task) || (set && line.set !== set)
        || (text && !`${line.method} ${line.settings}`.toLowerCase().includes(text));
      shown += !row.hidden;
    }
    get("count").textContent = `${shown} of ${rows.length}`;
  }
  // A score is sorted by how good it is, a name and a cost from small to large; what is missing comes last.
  function place(line, key) {
    const value = line[key];
    if (value === null || value === undefined || value === "") return null;
    const score = scores[key];
    if (!score) return value;
    return score.target === null ? (score.higher ? -value : value) : Math.abs(value - score.target);
  }
  function sort(key) {
    sorting.down = sorting.key === key && !sorting.down;
    sorting.key = key;
    const sign = sorting.down ? -1 : 1;
    const order = rows.map((row, k) => [place(of(row), key), k, row]);
    order.sort(([a, i], [b, j]) => (a === null) - (b === null) || (a === null ? 0 : sign * (a < b ? -1 : a > b ? 1 : 0)) || i - j);
    body.append(...order.map(([, , row]) => row));
    for (const button of document.querySelectorAll("#table thead button")) {
      button.removeAttribute("aria-sort");
      if (button.dataset.key === key) button.setAttribute("aria-sort", sorting.down ? "descending" : "ascending");
    }
  }
  for (const button of document.querySelectorAll("#table thead button")) {
    button.addEventListener("click", () => sort(button.dataset.key));
  }
  for (const id of ["task", "set", "find"]) if (get(id)) get(id).addEventListener("input", filtered);

  // ---- plot: up is better, left is cheaper; the line joins methods that no other beats in both
  const svg = get("plot"), area = { left: 70, right: 740, top: 20, bottom: 330 };
  function draw() {
    const [task, set] = get("plot-task").value.split("|");
    const name = get("plot-score").value, cost = get("plot-cost").value, score = scores[name];
    const good = (value) => score.target === null ? (score.higher ? value : -value) : -Math.abs(value - score.target);
    const points = lines.filter((l) => l.task === task && l.set === (set || "") && l[name] !== null && l[name] !== undefined && l[cost] !== null)
      .map((l) => ({ line: l, cost: Math.max(l[cost], cost === "nfe" ? 0.5 : 1e-4), value: l[name], good: good(l[name]) }));
    svg.replaceChildren();
    const add = (tag, attributes, text) => {
      const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
      for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
      if (text !== undefined) made.textContent = text;
      svg.append(made);
      return made;
    };
    if (!points.length) { add("text", { x: 70, y: 60 }, "no method has both numbers"); return; }
    const costs = points.map((p) => Math.log10(p.cost)), values = points.map((p) => p.good);
    const span = (list, least) => {
      const low = Math.min(...list), high = Math.max(...list), spare = Math.max(least - (high - low), 0) / 2 + 0.08 * Math.max(high - low, least);
      return [low - spare, high + spare];
    };
    const [x0, x1] = span(costs, 0.5), [y0, y1] = span(values, 1e-6 + 0.02 * Math.abs(values[0]));
    const x = (c) => area.left + (Math.log10(c) - x0) / (x1 - x0) * (area.right - area.left);
    const y = (g) => area.bottom - (g - y0) / (y1 - y0) * (area.bottom - area.top);
    for (let power = Math.ceil(x0 - 1); power <= x1; power += 1) for (const m of [1, 2, 5]) {
      const c = m * 10 ** power;
      if (Math.log10(c) < x0 || Math.log10(c) > x1) continue;
      add("line", { class: "grid", x1: x(c), x2: x(c), y1: area.top, y2: area.bottom });
      add("text", { x: x(c), y: area.bottom + 18, "text-anchor": "middle" }, String(Number(c.toPrecision(2))));
    }
    const show = (g) => score.target === null ? (score.higher ? g : -g) : -g;
    for (let k = 0; k <= 4; k += 1) {
      const g = y0 + (y1 - y0) * k / 4;
      add("line", { class: "grid", x1: area.left, x2: area.right, y1: y(g), y2: y(g) });
      add("text", { x: area.left - 8, y: y(g) + 4, "text-anchor": "end" }, show(g).toPrecision(4));
    }
    add("text", { x: area.right, y: area.bottom + 40, "text-anchor": "end" }, `${cost === "nfe" ? "network calls per draw" : "seconds per picture"} (logarithmic; left is cheaper)`);
    add("text", { x: area.left, y: 13 }, `${name}${score.target === null ? "" : `: distance to ${score.target}`} (up is better)`);
    const front = [];
    for (const p of [...points].sort((a, b) => a.cost - b.cost || b.good - a.good)) {
      if (!front.length || p.good > front[front.length - 1].good) front.push(p);
    }
    add("path", { d: front.map((p, k) => k ? `H${x(p.cost)}V${y(p.good)}` : `M${x(p.cost)} ${y(p.good)}`).join("") });
    const labels = [];
    for (const p of [...points].sort((a, b) => y(a.good) - y(b.good))) {
      add("circle", { class: p.line.role, cx: x(p.cost), cy: y(p.good), r: front.includes(p) ? 6 : 4.5 });
      const end = x(p.cost) > area.right - 150;
      let high = y(p.good) - 9;
      while (labels.some(([u, v]) => Math.abs(u - x(p.cost)) < 120 && Math.abs(v - high) < 14)) high += 14;
      labels.push([x(p.cost), high]);
      add("text", { class: "label", x: x(p.cost) + (end ? -8 : 8), y: high, "text-anchor": end ? "end" : "start" }, p.line.method);
    }
  }
  const groups = [...new Set(lines.map((l) => `${l.task}|${l.set}`))];
  for (const group of groups) get("plot-task").add(new Option(group.replace("|", ", ").replace(/, $/, ""), group));
  for (const name of Object.keys(scores)) get("plot-score").add(new Option(`${name} (${scores[name].words})`, name));
  for (const id of ["plot-task", "plot-score", "plot-cost"]) get(id).addEventListener("input", draw);

  // ---- pictures: one zoom for all, a split between two of them
  const dialog = get("viewer"), stage = get("stage"), handle = get("handle"), strip = get("strip");
  const layers = [get("one-side"), get("other-side")], sides = [get("left"), get("right")];
  const view = { split: 50, zoom: 1, x: 0.5, y: 0.5 };
  let shown = [], figures = [];
  function move() {
    view.zoom = clamp(view.zoom, 1, 32);
    const half = 0.5 / view.zoom;
    view.x = clamp(view.x, half, 1 - half);
    view.y = clamp(view.y, half, 1 - half);
    const transform = `translate(${100 * (0.5 - view.zoom * view.x)}%, ${100 * (0.5 - view.zoom * view.y)}%) scale(${view.zoom})`;
    for (const image of [...layers, ...figures.map((figure) => figure.querySelector("img"))]) {
      image.style.transform = transform;
      image.classList.toggle("pixels", image.clientWidth * view.zoom > 1.6 * image.naturalWidth);
    }
    get("top").style.clipPath = `inset(0 0 0 ${view.split}%)`;
    handle.style.left = `${view.split}%`;
    handle.setAttribute("aria-valuenow", String(Math.round(view.split)));
    stage.classList.toggle("zoomed", view.zoom > 1.001);
    get("zoom").value = String(Math.log2(view.zoom));
    get("factor").textContent = `${Number(view.zoom.toFixed(1))}×`;
  }
  function pair() {
    sides.forEach((select, side) => {
      const panel = shown[select.selectedIndex];
      layers[side].src = panel.uri;
      layers[side].alt = panel.caption;
      get(side ? "right-tag" : "left-tag").textContent = panel.caption;
    });
    figures.forEach((figure, k) => {
      figure.classList.toggle("left", k === sides[0].selectedIndex);
      figure.classList.toggle("right", k === sides[1].selectedIndex);
    });
    Promise.all(layers.map((image) => image.decode())).then(move, move);
  }
  function lay(line) {
    const entry = gallery[`${line.task}|${line.set}`][get("picture").selectedIndex];
    shown = entry.panels;
    const lead = shown.find((panel) => panel.name === "truth") || shown[0];
    dialog.style.setProperty("--ratio", String(lead.width / lead.height));
    figures = shown.map((panel, k) => {
      const figure = document.createElement("figure"), frame = document.createElement("div"), image = new Image();
      figure.dataset.name = panel.name;
      frame.className = "frame";
      image.src = panel.uri;
      image.alt = `${panel.caption}: ${panel.rule}`;
      image.title = panel.rule;
      frame.append(image);
      const caption = document.createElement("figcaption");
      caption.textContent = panel.caption;
      figure.append(frame, caption);
      figure.addEventListener("click", (event) => { sides[event.shiftKey ? 0 : 1].selectedIndex = k; pair(); });
      return figure;
    });
    strip.replaceChildren(...figures);
    const baseline = lines.find((l) => l.task === line.task && l.set === line.set && l.role === "baseline");
    const pick = [["measurement", baseline && baseline.method, "truth"], [line.method, "truth"]];
    if (line.role === "baseline") pick[0] = ["truth", "measurement"];
    sides.forEach((select, side) => {
      select.replaceChildren(...shown.map((panel) => new Option(panel.caption, panel.name)));
      const found = pick[side].map((name) => shown.findIndex((panel) => panel.name === name)).find((k) => k >= 0);
      select.selectedIndex = found === undefined ? 0 : found;
    });
    pair();
  }
  let current = null;
  function open(row) {
    const line = of(row), entries = gallery[`${line.task}|${line.set}`];
    if (!entries) return;
    current = line;
    get("viewer-title").textContent = `${line.task}${line.set ? `, ${line.set}` : ""}`;
    get("picture").replaceChildren(...entries.map((entry) => new Option(entry.image)));
    Object.assign(view, { split: 50, zoom: 1, x: 0.5, y: 0.5 });
    if (!dialog.open) dialog.showModal();
    lay(line);
  }
  for (const row of rows) {
    row.addEventListener("click", () => { if (!String(getSelection())) open(row); });
    row.addEventListener("keydown", (event) => { if (event.key === "Enter" && event.target === row) open(row); });
  }
  get("picture").addEventListener("input", () => lay(current));
  for (const select of sides) select.addEventListener("input", pair);
  get("zoom").addEventListener("input", () => { view.zoom = 2 ** Number(get("zoom").value); move(); });
  get("fit").addEventListener("click", () => { Object.assign(view, { zoom: 1, x: 0.5, y: 0.5 }); move(); });
  get("close").addEventListener("click", () => dialog.close());
  const spot = (event, frame) => {
    const box = frame.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  };
  function zoomAt(factor, u, v) {
    const before = view.zoom;
    view.zoom = clamp(before * factor, 1, 32);
    view.x += (u - 0.5) * (1 / before - 1 / view.zoom);
    view.y += (v - 0.5) * (1 / before - 1 / view.zoom);
    move();
  }
  dialog.addEventListener("wheel", (event) => {
    const frame = event.target.closest("#stage, .frame");
    if (!frame) return;
    event.preventDefault();
    zoomAt(Math.exp(-0.002 * (event.deltaMode === 1 ? 30 : 1) * event.deltaY), ...spot(event, frame));
  }, { passive: false });
  let grip = null;
  stage.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    stage.setPointerCapture(event.pointerId);
    grip = { at: spot(event, stage), split: event.target === handle || view.zoom <= 1.001 };
    if (grip.split) { view.split = clamp(100 * grip.at[0], 0, 100); move(); }
  });
  stage.addEventListener("pointermove", (event) => {
    if (!grip) return;
    const now = spot(event, stage);
    if (grip.split) view.split = clamp(100 * now[0], 0, 100);
    else { view.x -= (now[0] - grip.at[0]) / view.zoom; view.y -= (now[1] - grip.at[1]) / view.zoom; }
    grip.at = now;
    move();
  });
  for (const end of ["pointerup", "pointercancel"]) stage.addEventListener(end, () => { grip = null; });
  stage.addEventListener("keydown", (event) => {
    const far = event.shiftKey ? 10 : 2, step = 0.1 / view.zoom, onHandle = event.target === handle;
    const acts = {
      "+": () => zoomAt(1.5, 0.5, 0.5), "=": () => zoomAt(1.5, 0.5, 0.5), "-": () => zoomAt(1 / 1.5, 0.5, 0.5), 0: () => { view.zoom = 1; },
      ArrowLeft: () => { onHandle ? view.split = clamp(view.split - far, 0, 100) : view.x -= step; },
      ArrowRight: () => { onHandle ? view.split = clamp(view.split + far, 0, 100) : view.x += step; },
      ArrowUp: () => { view.y -= step; }, ArrowDown: () => { view.y += step; },
    };
    if (!acts[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
    acts[event.key]();
    event.preventDefault();
    move();
  });

  filtered();
  if (groups.length && Object.keys(scores).length) { get("plotting").hidden = false; draw(); }
  document.documentElement.dataset.ready = "yes";
})();
