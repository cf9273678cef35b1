"use strict";
(() => {
  const box = document.getElementById("timeline-live");
  const data = JSON.parse(document.getElementById("timeline-data").textContent);
  const HEIGHT = 120, TOP = 10, BOTTOM = 22, LEFT = 28;
  const STEPS = [300, 900, 3600, 10800, 21600, 43200, 86400, 172800, 604800, 1209600, 2592000, 7776000, 31536000];
  const first = Math.min(...data.tracks.map((track) => track.time[0]));
  const last = Math.max(...data.tracks.map((track) => track.end));
  const least = Math.min(last - first, 3600 * 6);
  let from = first, to = last;

  const add = (parent, name, attributes, text) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text) made.textContent = text;
    return parent.appendChild(made);
  };
  const moment = (seconds, length) => new Date(seconds * 1000).toISOString().slice(0, length).replace("T", " ");
  const x = (seconds, width) => LEFT + ((seconds - from) / (to - from)) * (width - LEFT);
  const y = (value) => TOP + (1 - value) * (HEIGHT - TOP - BOTTOM);

  function path(track, width) {
    let told = "", pen = "M", column = -1, high = 0;
    track.time.forEach((time, at) => {
      const value = track.probability[at];
      if (time < from - track.step || time > to + track.step) return;
      if (value === null) { pen = "M"; column = -1; return; }
      const place = x(time, width), here = Math.round(place);
      if (here === column && value <= high) return; // the highest of a pixel is what must be seen
      told += `${pen}${place.toFixed(1)},${y(value / 1000).toFixed(1)}`;
      [pen, column, high] = ["L", here, value];
    });
    return told;
  }

  function draw(track, svg, width) {
    svg.replaceChildren();
    svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    const span = (kind, [start, end], top, height) => {
      const left = Math.max(x(start, width), LEFT), right = Math.min(x(end, width), width);
      if (right > left) add(svg, "rect", { class: kind, x: left, y: top, width: Math.max(right - left, 1), height });
    };
    track.positive.forEach((each) => span("positive", each, TOP, HEIGHT - TOP - BOTTOM));
    track.failures.forEach((each) => {
      span("failed", each, TOP, HEIGHT - TOP - BOTTOM);
      if (each[0] >= from && each[0] <= to) {
        const at = x(each[0], width);
        add(svg, "path", { class: "failure", d: `M${at},${HEIGHT - BOTTOM}V${TOP}m-4,-8h8l-4,8z` });
      }
    });
    for (const value of [0, 0.5, 1]) {
      add(svg, "line", { class: "rule", x1: LEFT, x2: width, y1: y(value), y2: y(value) });
      add(svg, "text", { x: LEFT - 4, y: y(value) + 4, "text-anchor": "end" }, String(value));
    }
    const step = STEPS.find((each) => (to - from) / each <= (width - LEFT) / 90) || STEPS[STEPS.length - 1];
    for (let time = Math.ceil(from / step) * step; time <= to; time += step) {
      const at = x(time, width), label = step < 86400 ? moment(time, 16).slice(5) : moment(time, 10).slice(5);
      add(svg, "line", { class: "rule", x1: at, x2: at, y1: HEIGHT - BOTTOM, y2: HEIGHT - BOTTOM + 4 });
      if (at > LEFT + 20 && at < width - 36) {
        add(svg, "text", { x: at, y: HEIGHT - 5, "text-anchor": "middle" }, label);
      }
    }
    add(svg, "line", { class: "limit", x1: LEFT, x2: width, y1: y(data.threshold), y2: y(data.threshold) });
    add(svg, "path", { class: "probability", d: path(track, width) });
    track.alarms.forEach((each) => span("alarm", each, HEIGHT - BOTTOM - 4, 4));
  }

  function show(start, end) {
    const wanted = Math.min(Math.max(end - start, least), last - first);
    from = Math.min(Math.max((start + end - wanted) / 2, first), last - wanted);
    to = from + wanted;
    box.querySelector("output").textContent = `${moment(from, 16)} to ${moment(to, 16)} UTC`;
    box.querySelectorAll("svg").forEach((svg, at) => draw(data.tracks[at], svg, svg.clientWidth || 600));
  }

  const moves = {
    whole: () => show(first, last),
    closer: () => show(from + (to - from) / 4, to - (to - from) / 4),
    wider: () => show(from - (to - from) / 2, to + (to - from) / 2),
    earlier: () => show(from - (to - from) / 2, to - (to - from) / 2),
    later: () => show(from + (to - from) / 2, to + (to - from) / 2),
  };
  box.querySelectorAll("button").forEach((button) => button.addEventListener("click", moves[button.name]));
  box.querySelectorAll("svg").forEach((svg) => {
    let start = null;
    const time = (event) => {
      const frame = svg.getBoundingClientRect();
      return from + ((event.clientX - frame.left - LEFT) / (frame.width - LEFT)) * (to - from);
    };
    svg.addEventListener("pointerdown", (event) => { start = [event.clientX, time(event)]; });
    svg.addEventListener("pointerup", (event) => {
      if (start && Math.abs(event.clientX - start[0]) > 8) show(...[start[1], time(event)].sort((a, b) => a - b));
      start = null;
    });
    svg.addEventListener("dblclick", moves.whole);
  });
  box.hidden = false;
  addEventListener("resize", () => show(from, to));
  show(first, last);
})();
