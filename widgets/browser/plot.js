// One plotly.js for all plots of a page: the first one to need it asks the kernel for it.
function library(model) {
  if (globalThis.Plotly?.react) return Promise.resolve(globalThis.Plotly);
  const start = (bytes) => {
    const text = new TextDecoder().decode(bytes);
    // A require.js on the page (Notebook 7, Voilà) must not take the library for a module.
    const run = new Function("define", "module", "exports", text);
    run.call(globalThis);
    return globalThis.Plotly;
  };
  const brought = model.get("library");
  if (brought?.byteLength) return Promise.resolve(start(brought));
  globalThis.crystalPlotly ??= new Promise((resolve) => {
    const receive = (content, buffers) => {
      if (content.library !== "plotly") return;
      model.off("msg:custom", receive);
      resolve(start(buffers[0]));
    };
    model.on("msg:custom", receive);
    const ask = (tries) => {
      if (globalThis.Plotly?.react || tries === 0) return;
      model.send({ need: "plotly" });
      setTimeout(() => ask(tries - 1), 15000);
    };
    ask(4);
  });
  return globalThis.crystalPlotly;
}

function themed(layout, el) {
  const style = getComputedStyle(el);
  const read = (name, other) => style.getPropertyValue(name).trim() || other;
  const ink = read("--jp-ui-font-color1", "#333");
  const soft = read("--jp-ui-font-color2", "#777");
  const line = read("--jp-border-color2", "#ddd");
  const paper = read("--jp-layout-color1", "#fff");
  const out = { ...layout, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)" };
  out.font = { size: 12, family: read("--jp-ui-font-family", "sans-serif"), ...layout.font, color: ink };
  for (const key of Object.keys(out)) {
    if (/^[xy]axis\d*$/.test(key)) {
      out[key] = { ...out[key], gridcolor: line, linecolor: soft, zerolinecolor: line, tickcolor: soft };
    }
  }
  out.hoverlabel = { bgcolor: paper, bordercolor: soft, font: { color: ink }, ...layout.hoverlabel };
  if (out.legend) out.legend = { ...out.legend, bgcolor: "rgba(0,0,0,0)" };
  return out;
}

export default {
  async render({ model, el }) {
    const box = document.createElement("div");
    box.style.width = "100%";
    el.append(box);
    const tall = () => { box.style.height = `${model.get("height")}px`; };
    tall();
    box.innerHTML = '<div class="cl-loading">Loading the plot…</div>';
    const Plotly = await library(model);
    let drawn = false;

    const cursorShapes = (layout) => {
      const x = model.get("cursor");
      const shapes = layout.shapes ?? [];
      if (x === null || x === undefined) return shapes;
      const axes = Object.keys(layout).filter((k) => /^xaxis\d*$/.test(k)).map((k) => k.replace("axis", ""));
      const ink = getComputedStyle(el).getPropertyValue("--jp-brand-color1").trim() || "#1976d2";
      return shapes.concat((axes.length ? axes : ["x"]).map((name) => ({
        type: "line", xref: name, yref: `${name.replace("x", "y")} domain`, x0: x, x1: x, y0: 0, y1: 1,
        line: { color: ink, width: 1.5 },
      })));
    };

    const draw = async () => {
      const text = model.get("spec");
      if (!text || !box.isConnected) return;
      const figure = JSON.parse(text);
      const layout = themed(figure.layout ?? {}, el);
      layout.height = model.get("height");
      layout.autosize = true;
      layout.shapes = cursorShapes(layout);
      if (!drawn) box.innerHTML = "";
      await Plotly.react(box, figure.data ?? [], layout, {
        displaylogo: false, responsive: true, displayModeBar: figure.frames ? false : "hover",
        modeBarButtonsToRemove: ["lasso2d", "select2d", "autoScale2d"], ...(figure.config ?? {}),
      });
      if (figure.frames) await Plotly.addFrames(box, figure.frames);
      if (!drawn) {
        drawn = true;
        box.on("plotly_click", (event) => {
          const point = event.points[0];
          const custom = point.customdata;
          const count = (model.get("clicked").count ?? 0) + 1;
          model.set("clicked", {
            curve: point.curveNumber, point: point.pointNumber ?? point.pointIndex ?? 0, count,
            x: point.x ?? null, y: point.y ?? null, z: point.z ?? null,
            id: Array.isArray(custom) ? custom[0] : (custom ?? null),
          });
          model.save_changes();
        });
      }
    };
    const moveCursor = () => {
      if (!drawn) return;
      const base = JSON.parse(model.get("spec")).layout ?? {};
      Plotly.relayout(box, { shapes: cursorShapes(base) });
    };

    const save = (content) => {
      if (content.png && drawn) Plotly.downloadImage(box, { format: "png", scale: 2, filename: content.png });
    };

    model.on("msg:custom", save);
    model.on("change:spec", draw);
    model.on("change:height", () => { tall(); draw(); });
    model.on("change:cursor", moveCursor);
    const theme = new MutationObserver(draw);
    theme.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-name"] });
    const size = new ResizeObserver(() => {
      if (drawn && box.clientWidth > 20) Plotly.Plots.resize(box);
      else if (!drawn) draw();
    });
    size.observe(box);
    await draw();
    return () => { model.off("msg:custom", save); theme.disconnect(); size.disconnect(); if (drawn) Plotly.purge(box); };
  },
};
