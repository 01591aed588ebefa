"use strict";
// The page is complete without this script; it adds the slider, the common zoom and the copy button.
window.addEventListener("error", (event) => { document.documentElement.dataset.error = event.message; });
(() => {
  const get = (id) => document.getElementById(id);
  const figures = [...document.querySelectorAll("figure[data-follows]")];
  const stage = get("stage"), handle = get("handle"), left = get("left"), right = get("right");
  const layers = [get("one-side"), get("other-side")];
  const wide = Number(stage.dataset.width);
  const view = { split: 50, zoom: 1, x: 0.5, y: 0.5 };  // x, y: centre of the view, as shares of the picture
  const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
  const fullSize = () => wide / (stage.clientWidth * (window.devicePixelRatio || 1));
  const least = () => Math.min(1, fullSize());
  const most = () => Math.max(8, 48 * fullSize());

  function followers() {
    return [...layers, ...figures.map((figure) => figure.querySelector("img"))];
  }

  function place() {
    view.zoom = clamp(view.zoom, least(), most());
    const half = 0.5 / view.zoom;
    view.x = half >= 0.5 ? 0.5 : clamp(view.x, half, 1 - half);
    view.y = half >= 0.5 ? 0.5 : clamp(view.y, half, 1 - half);
    const move = `translate(${100 * (0.5 - view.zoom * view.x)}%, ${100 * (0.5 - view.zoom * view.y)}%) scale(${view.zoom})`;
    for (const image of followers()) {
      image.style.transform = move;
      // Smoothing would invent detail: from here on every pixel is a square.
      image.classList.toggle("pixels", image.clientWidth * view.zoom > 1.6 * image.naturalWidth);
    }
    get("top").style.clipPath = `inset(0 0 0 ${view.split}%)`;
    handle.style.left = `${view.split}%`;
    handle.setAttribute("aria-valuenow", String(Math.round(view.split)));
    stage.classList.toggle("zoomed", view.zoom > 1.001);
    get("factor").textContent = `${view.zoom < 9.95 ? Number(view.zoom.toFixed(1)) : Math.round(view.zoom)}×`;
  }

  function show() {
    [left, right].forEach((select, side) => {
      const figure = figures[select.selectedIndex];
      layers[side].src = figure.querySelector("img").src;
      layers[side].alt = figure.dataset.caption;
      get(side ? "right-tag" : "left-tag").textContent = figure.dataset.caption;
    });
    handle.setAttribute("aria-valuetext", `${left.value} left of ${Math.round(view.split)} %, ${right.value} right`);
    Promise.all(layers.map((image) => image.decode())).then(place, place);
  }

  // Keeps the picture's point under (u, v), shares of the stage, where it is.
  function zoomAt(factor, u = 0.5, v = 0.5) {
    const before = view.zoom;
    view.zoom = clamp(before * factor, least(), most());
    view.x += (u - 0.5) * (1 / before - 1 / view.zoom);
    view.y += (v - 0.5) * (1 / before - 1 / view.zoom);
    place();
  }

  function spot(event) {
    const box = stage.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  }

  const fingers = new Map();
  let mode = "";
  stage.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    fingers.set(event.pointerId, spot(event));
    stage.setPointerCapture(event.pointerId);
    mode = event.target === handle || view.zoom <= 1.001 ? "split" : "move";
    if (mode === "split" && fingers.size === 1) { view.split = clamp(100 * spot(event)[0], 0, 100); place(); }
  });
  stage.addEventListener("pointermove", (event) => {
    const old = fingers.get(event.pointerId);
    if (!old) return;
    const now = spot(event);
    if (fingers.size === 2) {
      const still = [...fingers].find(([id]) => id !== event.pointerId)[1];
      const length = (point) => Math.hypot(point[0] - still[0], point[1] - still[1]);
      if (length(old) > 0) zoomAt(length(now) / length(old), (now[0] + still[0]) / 2, (now[1] + still[1]) / 2);
    } else if (mode === "split") {
      view.split = clamp(100 * now[0], 0, 100);
    } else {
      view.x -= (now[0] - old[0]) / view.zoom;
      view.y -= (now[1] - old[1]) / view.zoom;
    }
    fingers.set(event.pointerId, now);
    place();
  });
  for (const end of ["pointerup", "pointercancel"]) {
    stage.addEventListener(end, (event) => fingers.delete(event.pointerId));
  }
  stage.addEventListener("wheel", (event) => {
    event.preventDefault();
    const notch = event.deltaMode === 1 ? 30 : 1;
    zoomAt(Math.exp(-0.002 * notch * event.deltaY), ...spot(event));
  }, { passive: false });
  handle.addEventListener("keydown", (event) => {
    const far = event.shiftKey ? 10 : 2;
    const to = { ArrowLeft: view.split - far, ArrowRight: view.split + far, Home: 0, End: 100 }[event.key];
    if (to === undefined) return;
    view.split = clamp(to, 0, 100);
    event.preventDefault();
    event.stopPropagation();
    place();
  });
  stage.addEventListener("keydown", (event) => {
    const step = 0.1 / view.zoom;
    const acts = {
      "+": () => zoomAt(1.5), "=": () => zoomAt(1.5), "-": () => zoomAt(1 / 1.5), 0: () => { view.zoom = 1; },
      ArrowLeft: () => { view.x -= step; }, ArrowRight: () => { view.x += step; },
      ArrowUp: () => { view.y -= step; }, ArrowDown: () => { view.y += step; },
    };
    if (!acts[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
    acts[event.key]();
    event.preventDefault();
    place();
  });
  get("in").addEventListener("click", () => zoomAt(1.5));
  get("out").addEventListener("click", () => zoomAt(1 / 1.5));
  get("fit").addEventListener("click", () => { view.zoom = 1; place(); });
  get("one").addEventListener("click", () => { view.zoom = fullSize(); place(); });
  get("swap").addEventListener("click", () => {
    [left.selectedIndex, right.selectedIndex] = [right.selectedIndex, left.selectedIndex];
    show();
  });
  window.addEventListener("resize", place);

  const copy = get("copy");
  copy.hidden = false;
  copy.addEventListener("click", async () => {
    const text = get("command");
    try {
      await navigator.clipboard.writeText(text.textContent);
    } catch {  // no clipboard for local files in some browsers
      const range = document.createRange();
      range.selectNodeContents(text);
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      document.execCommand("copy");
    }
    copy.textContent = "Copied";
    setTimeout(() => { copy.textContent = "Copy"; }, 1500);
  });

  // A view can be named in the address: report.html#left=measurement&right=truth&split=30&zoom=4&x=0.5&y=0.4
  const asked = new URLSearchParams(location.hash.slice(1));
  for (const key of Object.keys(view)) {
    if (asked.has(key) && Number.isFinite(Number(asked.get(key)))) view[key] = Number(asked.get(key));
  }
  view.split = clamp(view.split, 0, 100);
  if (figures.length > 1) {
    for (const select of [left, right]) {
      for (const figure of figures) select.add(new Option(figure.dataset.caption, figure.dataset.name));
      select.addEventListener("change", show);
    }
    const pick = (select, names) => {
      const found = names.map((name) => figures.findIndex((figure) => figure.dataset.name === name)).find((i) => i >= 0);
      select.selectedIndex = found === undefined ? 0 : found;
    };
    pick(left, [asked.get("left"), "measurement", "baseline", "truth"]);
    pick(right, [asked.get("right"), "estimate"]);
    get("viewer").hidden = false;
    show();
  }
  place();
  document.documentElement.dataset.ready = "yes";
})();
