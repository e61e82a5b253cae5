// Runs inside nglview's view through executeCode: `this` is the view, `NGL` the library.
// It gives the view one method, showCrystal(crystal), in which the latest call wins.
if (!this.showCrystal) {
  const view = this;
  const stage = this.stage;
  view.el.nglStage = stage;
  view.crystalColours = [];
  const scheme = NGL.ColormakerRegistry.addScheme(function () {
    this.atomColor = (atom) => view.crystalColours[atom.index] ?? 0x9a9a9a;
  }, "crystal");

  const theme = () => {
    const style = getComputedStyle(view.el);
    const read = (name, other) => (style.getPropertyValue(name) || other).trim() || other;
    stage.setParameters({ backgroundColor: read("--jp-layout-color1", "#ffffff") });
    return document.body.dataset.jpThemeLight === "false" ? "#e0e0e0" : "#333333";
  };

  const sized = () => view.el.clientWidth > 20 && view.el.clientHeight > 20;
  const fit = () => {
    if (!sized()) return;
    view.setSize(`${view.el.clientWidth}px`, `${view.el.clientHeight}px`);
    stage.handleResize();
    if (view.lookLater && stage.compList[0]) {
      view.lookLater = false;
      fitCrystal(stage.compList[0]);
      look("standard");
    }
  };
  new ResizeObserver(fit).observe(view.el);
  new MutationObserver(() => view.lastCrystal && view.showCrystal(view.lastCrystal))
    .observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-name"] });

  stage.setParameters({
    clipDist: 0, fogNear: 100, fogFar: 200, cameraType: "orthographic",
    lightIntensity: 1.05, ambientIntensity: 0.32, hoverTimeout: 300, quality: "high",
  });

  const span = (from, to) =>
    to > from ? "@" + Array.from({ length: to - from }, (_, i) => from + i).join(",") : "none";

  const draw = (component, c, ink) => {
    const balls = span(0, c.atoms);
    component.addRepresentation("spacefill", {
      sele: balls, color: scheme, radiusType: "data", radiusData: c.radii, radiusScale: 1,
      metalness: 0.0, roughness: 0.45,
    });
    component.addRepresentation("licorice", {
      sele: span(0, c.atoms + c.stubs), color: scheme, radiusType: "size", radiusSize: c.stick,
      multipleBond: "off", roughness: 0.5,
    });
    component.addRepresentation("licorice", {
      sele: span(c.atoms + c.stubs, c.total), color: "#8a8a8a", radiusType: "size", radiusSize: 0.025,
    });
    if (c.labels) {
      component.addRepresentation("label", {
        sele: balls, labelType: "text", labelText: c.labels, color: ink, labelGrouping: "atom",
        radiusType: "size", radiusSize: 0.75, zOffset: 2.0, attachment: "middle-center",
        showBorder: true, borderColor: ink === "#333333" ? "white" : "black", borderWidth: 0.2,
      });
    }
    const axes = c.axes;
    component.addRepresentation("label", {
      sele: "@" + Object.keys(axes).join(","), labelType: "text", labelText: axes, color: ink,
      labelGrouping: "atom", radiusType: "size", radiusSize: 0.7, zOffset: 0.5,
      attachment: "middle-center",
    });
  };

  // Looking almost along b, with c up: the usual standard view of a crystal.
  const look = (along) => {
    const views = {
      standard: [[0.28, -0.95, 0.13], [0.0, 0.13, 0.99]],
      a: [[1, 0, 0], [0, 0, 1]], b: [[0, 1, 0], [0, 0, 1]], c: [[0, 0, 1], [0, 1, 0]],
    };
    const [towards, up] = along.vectors ?? views[along];
    const cross = (p, q) => [p[1] * q[2] - p[2] * q[1], p[2] * q[0] - p[0] * q[2], p[0] * q[1] - p[1] * q[0]];
    const unit = (p) => p.map((v) => v / Math.hypot(...p));
    const z = unit(towards);
    const x = unit(cross(up, z));
    const y = cross(z, x);
    // NGL's camera looks along +z with x to the left, so two of the axes change their sign.
    const minus = (p) => p.map((v) => -v);
    const matrix = new NGL.Matrix4();
    matrix.set(...minus(x), 0, ...y, 0, ...minus(z), 0, 0, 0, 0, 1);
    const quaternion = new NGL.Quaternion().setFromRotationMatrix(matrix);
    stage.viewerControls.rotate(quaternion);
  };

  const fitCrystal = (component) => {
    component.autoView(view.crystalExtent);
    // autoView fits the height alone; a narrow stage needs more distance.
    const narrow = view.el.clientHeight / Math.max(view.el.clientWidth, 1);
    if (narrow > 1) stage.viewerControls.zoom(1 - narrow);
  };

  view.lookAlong = (along) => {
    const component = stage.compList[0];
    if (!component) return;
    fitCrystal(component);
    look(along);
  };

  let running = false;
  let waiting = null;
  view.showCrystal = async (crystal) => {
    view.lastCrystal = crystal;
    waiting = crystal;
    if (running) return;
    running = true;
    try {
      while (waiting) {
        const c = waiting;
        waiting = null;
        const ink = theme();
        const old = stage.compList.slice();
        const camera = stage.viewerControls.getOrientation();
        const blob = new Blob([c.sdf], { type: "text/plain" });
        const component = await stage.loadFile(blob, { ext: "sdf", defaultRepresentation: false, name: "crystal" });
        view.crystalColours = c.colours;
        view.crystalExtent = span(0, c.total);
        draw(component, c, ink);
        old.forEach((o) => stage.removeComponent(o));
        if (old.length && c.camera !== "reset") {
          stage.viewerControls.orient(camera);
          if (c.camera === "fit") fitCrystal(component);
        } else {
          // A stage in a closed tab has no size, and a camera set now would be lost.
          view.lookLater = !sized();
          fit();
          fitCrystal(component);
          look("standard");
        }
        view.el.dataset.ticket = String(c.ticket);
      }
    } finally {
      running = false;
    }
  };
}
