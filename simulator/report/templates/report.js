"use strict";
(() => {
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const config = { responsive: true, displayModeBar: false };

  const coloured = (layout, isDark) => {
    const ink = isDark ? "#c9d2dc" : "#3b4653";
    return { ...layout, font: { ...layout.font, color: ink }, hoverlabel: { font: { size: 13 } } };
  };

  const legend = (canvas, traces) => {
    const names = new Map();
    traces.forEach((trace, number) => {
      if (!trace.name || trace.showlegend === false) return;
      if (!names.has(trace.name)) names.set(trace.name, []);
      names.get(trace.name).push(number);
    });
    if (names.size < 2) return;
    const list = document.createElement("ul");
    list.className = "legend";
    for (const [name, numbers] of names) {
      const trace = traces[numbers[0]];
      const item = document.createElement("li");
      const button = document.createElement("button");
      const swatch = document.createElement("i");
      const colour = (trace.line && trace.line.color) || (trace.marker && trace.marker.color) || trace.fillcolor;
      const dots = trace.mode && trace.mode.startsWith("markers");
      if (trace.type === "bar" || trace.stackgroup) button.className = "block";
      else if (dots) button.className = { x: "cross", diamond: "diamond" }[trace.marker && trace.marker.symbol] || "dot";
      const dashed = trace.line && trace.line.dash && trace.line.dash !== "solid";
      swatch.style.background = dashed
        ? `repeating-linear-gradient(90deg, ${colour} 0 5px, transparent 5px 8px)`
        : Array.isArray(colour) ? colour[0] : colour;
      button.type = "button";
      button.setAttribute("aria-pressed", "true");
      button.append(swatch, document.createTextNode(name));
      button.addEventListener("click", () => {
        const shown = button.getAttribute("aria-pressed") === "true";
        button.setAttribute("aria-pressed", String(!shown));
        Plotly.restyle(canvas, { visible: shown ? "legendonly" : true }, numbers);
      });
      item.append(button);
      list.append(item);
    }
    canvas.after(list);
  };

  // What is printed for a board is white, whatever the screen is, and as wide as paper.
  const canvases = [...document.querySelectorAll(".canvas")];
  const printing = () => document.documentElement.classList.contains("printing");
  const sized = (canvas, layout) => {
    const small = { ...layout, font: { ...layout.font, size: 10 } };
    if (canvas.dataset.height) return { ...small, height: Number(canvas.dataset.height) };
    if (!printing()) return { ...layout, width: undefined, autosize: true };
    const most = canvas.closest(".grid") ? 210 : 270;
    return { ...small, width: canvas.clientWidth, height: Math.min(layout.height, most) };
  };

  const draw = (isDark) =>
    Promise.all(canvases.map((canvas) => {
      const figure = figures[canvas.dataset.figure];
      const layout = coloured(sized(canvas, figure.layout), isDark && !canvas.dataset.height);
      return Plotly.react(canvas, figure.data, layout, config);
    }));

  for (const canvas of canvases) legend(canvas, figures[canvas.dataset.figure].data);
  draw(dark.matches).then(() => { document.documentElement.dataset.drawn = "true"; });
  dark.addEventListener("change", () => draw(dark.matches));

  addEventListener("beforeprint", () => {
    document.querySelectorAll("details").forEach((one) => { one.open = true; });
    document.documentElement.classList.add("printing");
    draw(false);
  });
  addEventListener("afterprint", () => {
    document.documentElement.classList.remove("printing");
    draw(dark.matches);
  });
})();
