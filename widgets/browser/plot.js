// One plotly.js for all plots of a page: the first one starts it.
async function start(model) {
  const library = await model.widget_manager.get_model(model.get("library"));
  const text = new TextDecoder().decode(library.get("source"));
  // A require.js on the page (Notebook 7, Voilà) must not take the library for a module.
  new Function("define", "module", "exports", text).call(globalThis);
  return globalThis.Plotly;
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
  out.modebar = { bgcolor: "rgba(0,0,0,0)", color: soft, activecolor: ink, ...layout.modebar };
  if (out.legend) out.legend = { ...out.legend, bgcolor: "rgba(0,0,0,0)" };
  return out;
}

export default {
  initialize: hear,
  async render({ model, el }) {
    el.classList.add("cl-plot");
    const box = document.createElement("div");
    box.style.width = "100%";
    el.append(box);
    const tall = () => { box.style.height = `${model.get("height")}px`; };
    tall();
    box.innerHTML = '<div class="cl-loading">Loading the plot…</div>';
    const Plotly = await (globalThis.crystalPlotly ??= start(model));
    let drawn = false;
    let over = null;

    // Cursor and ring lie over the plot: moving them redraws and sends nothing else.
    const shape = (kind, attributes) => {
      const made = document.createElementNS("http://www.w3.org/2000/svg", kind);
      for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
      return made;
    };
    const drawOver = () => {
      if (!drawn) return;
      const places = model.get("places");
      const x = places[Math.min(model.get("place"), places.length - 1)];
      const plots = Object.values(box._fullLayout._plots ?? {});
      const made = x === undefined ? [] : plots.map(({ xaxis, yaxis }) => {
        const at = xaxis._offset + xaxis.l2p(x);
        const ends = { y1: yaxis._offset, y2: yaxis._offset + yaxis._length };
        return shape("line", { class: "cl-cursor", x1: at, x2: at, ...ends });
      });
      const [markX, markY] = model.get("mark");
      if (markX !== undefined && plots.length) {
        const { xaxis, yaxis } = plots[0];
        const [px, py] = [xaxis.l2p(markX), yaxis.l2p(markY)];
        if (px >= 0 && px <= xaxis._length && py >= 0 && py <= yaxis._length) {
          made.push(shape("circle", { class: "cl-mark", cx: xaxis._offset + px, cy: yaxis._offset + py, r: 8 }));
        }
      }
      over ??= shape("g", { class: "cl-over" });
      over.replaceChildren(...made);
      [...box.querySelectorAll(".main-svg")].at(-1)?.append(over);
    };

    const draw = async () => {
      const text = model.get("spec");
      if (!text || !box.isConnected) return;
      const figure = JSON.parse(text);
      const layout = themed(figure.layout ?? {}, el);
      layout.height = model.get("height");
      layout.autosize = true;
      if (!drawn) box.innerHTML = "";
      await Plotly.react(box, figure.data ?? [], layout, {
        displaylogo: false, showSendToCloud: false, responsive: true, displayModeBar: model.get("tools") && !figure.frames ? "hover" : false,
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
        box.on("plotly_afterplot", drawOver);
        box.on("plotly_relayouting", drawOver);
      }
      drawOver();
    };

    const save = (content) => {
      if (content.png && drawn) Plotly.downloadImage(box, { format: "png", scale: 2, filename: content.png });
    };

    model.on("msg:custom", save);
    model.on("change:spec", draw);
    model.on("change:height", () => { tall(); draw(); });
    for (const name of ["place", "places", "mark"]) model.on(`change:${name}`, drawOver);
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
