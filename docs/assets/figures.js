// Draws the figures of executed notebooks; plotly.js is loaded by pages that have some.
const places = document.querySelectorAll(".figure[data-figure]");
if (places.length) {
  const library = document.createElement("script");
  library.src = new URL("plotly.min.js", document.currentScript.src);
  library.addEventListener("load", () => {
    for (const place of places) {
      const { data, layout } = JSON.parse(place.dataset.figure);
      const config = { displaylogo: false, showSendToCloud: false, responsive: true };
      globalThis.Plotly.newPlot(place, data, layout, config);
    }
  });
  document.head.append(library);
}
