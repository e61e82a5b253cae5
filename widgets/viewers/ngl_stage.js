// Draws one crystal with NGL, inside a view of nglview that is made here and only here.
//
// The crystal, or all frames of a trajectory, lies in this widget's state: it is drawn without
// asking the kernel, which may be busy training, and again in each new view of the notebook.

function webgl() {
  try {
    const canvas = document.createElement("canvas");
    const context = canvas.getContext("webgl2") || canvas.getContext("webgl");
    const works = Boolean(context);
    context?.getExtension("WEBGL_lose_context")?.loseContext();
    return works;
  } catch {
    return false;
  }
}

const sleep = (seconds) => new Promise((resolve) => { setTimeout(resolve, 1000 * seconds); });
const within = (seconds, promise) => Promise.race([
  promise, sleep(seconds).then(() => { throw new Error(`no answer in ${seconds} s`); }),
]);

const PATIENCE = 60; // s that are waited for nglview's part of Jupyter

async function findModel(manager, id) {
  for (let tries = 10 * PATIENCE; tries > 0 && !manager.has_model(id); tries -= 1) {
    await sleep(0.1); // its message may still be on the way
  }
  return manager.get_model(id);
}

async function makeView(model, el) {
  const manager = model.widget_manager;
  const ngl = await within(PATIENCE, findModel(manager, model.get("view_id")));
  const view = await within(PATIENCE, manager.create_view(ngl, {}));
  el.append(view.el);
  view.trigger("displayed");
  await view.displayed;
  if (!view.stage) throw new Error("nglview's view has no stage");
  view.executeCode("this.library = NGL");
  return view;
}

const ROOM = 0.9; // Å, and a tenth: balls at the edge, rings, the names of the axes
const STANDARD = [[0.28, -0.95, 0.13], [0.0, 0.13, 0.99]]; // almost along b, with c up

class Drawing {
  constructor(view, model) {
    this.view = view;
    this.model = model;
    this.stage = view.stage;
    this.colours = [];
    this.parts = []; // what is drawn of the crystal shown: its atoms, its polyhedra
    this.marks = [];
    this.running = false;
    this.waiting = null;
    view.el.nglStage = this.stage;
    // nglview tells the kernel of each component, representation and camera move: a dozen messages
    // a frame, for features that are not used here.
    for (const signals of [this.stage.signals, this.stage.viewerControls.signals]) {
      for (const name of ["componentAdded", "componentRemoved", "parametersChanged", "changed"]) {
        signals[name]?.removeAll();
      }
    }
    this.stage.signals.clicked.removeAll(); // nglview writes NGL's own names into the corner
    this.listen();
    const drawing = this;
    this.scheme = view.library.ColormakerRegistry.addScheme(function () {
      this.atomColor = (atom) => drawing.colours[atom.index] ?? 0x9a9a9a;
    }, "crystal");
    this.stage.setParameters({
      clipDist: 0, fogNear: 100, fogFar: 200, cameraType: "orthographic",
      lightIntensity: 1.05, ambientIntensity: 0.32, hoverTimeout: 60, quality: "high",
    });
    this.observers = [
      new ResizeObserver(() => this.resize()),
      new MutationObserver(() => this.last && this.show({ ...this.last, camera: "keep" })),
    ];
    this.observers[0].observe(view.el);
    const attributes = { attributes: true, attributeFilter: ["data-jp-theme-name"] };
    this.observers[1].observe(document.body, attributes);
  }

  close() {
    for (const observer of this.observers) observer.disconnect();
    this.view.remove();
    this.stage.dispose(); // a browser has only some sixteen WebGL contexts
  }

  // -- the mouse -------------------------------------------------------------------------------

  // In place of NGL's own answers to the mouse: the name of the atom, which stays at the atom, and
  // a click that picks it.
  listen() {
    const { mouseControls, mouseObserver } = this.stage;
    for (const action of ["hoverPick", "clickPick-left", "clickPick-right", "clickPick-middle", "clickPick-ctrl-left"]) {
      mouseControls.remove(action);
    }
    this.tip = document.createElement("div");
    this.tip.className = "cl-tip";
    this.tip.hidden = true;
    this.view.el.append(this.tip);
    mouseControls.add("hoverPick", (_, picked) => this.name(this.atomOf(picked)));
    mouseControls.add("clickPick-left", (_, picked) => {
      const atom = this.atomOf(picked);
      if (!atom) return;
      const count = (this.model.get("clicked").count ?? 0) + 1;
      this.model.set("clicked", { atom: atom.index, ticket: this.last.ticket, count });
      this.model.save_changes();
    });
    const hide = () => { this.tip.hidden = true; };
    mouseObserver.signals.dragged.add(hide);
    mouseObserver.signals.scrolled.add(hide);
    this.view.el.addEventListener("mouseleave", hide);
  }

  atomOf(picked) {
    const atom = picked?.atom;
    return atom && this.last && atom.index < this.last.atoms ? atom : null;
  }

  name(atom) {
    this.tip.hidden = !atom;
    if (!atom) return;
    const place = this.stage.viewerControls.getPositionOnCanvas(atom.positionToVector3());
    this.tip.textContent = this.last.tips[atom.index];
    const { clientWidth: wide, clientHeight: high } = this.view.el;
    const left = Math.min(Math.max(place.x - this.tip.offsetWidth / 2, 4), wide - this.tip.offsetWidth - 4);
    const above = high - place.y - this.tip.offsetHeight - 14;
    this.tip.style.left = `${Math.max(left, 4)}px`;
    this.tip.style.top = `${above > 4 ? above : high - place.y + 14}px`;
  }

  // -- size and camera -------------------------------------------------------------------------

  get sized() { return this.view.el.clientWidth > 20 && this.view.el.clientHeight > 20; }

  resize() {
    if (!this.sized) return;
    this.view.setSize(`${this.view.el.clientWidth}px`, `${this.view.el.clientHeight}px`);
    this.stage.handleResize();
    if (this.later) {
      this.later = false;
      this.look(STANDARD);
    }
  }

  // Bring the whole crystal, as it is turned now, into the picture.
  fit() {
    if (!this.last) return;
    const { Vector3 } = this.view.library;
    const [low, high] = this.last.extent;
    const half = high.map((end, k) => (end - low[k]) / 2);
    const turned = this.stage.viewerControls.rotation;
    const reach = [0, 0]; // to the side and upwards, Å
    for (let k = 0; k < 4; k += 1) { // a corner of each pair that lie opposite
      const corner = new Vector3(...half.map((v, axis) => (k & (1 << axis) ? -v : v)));
      corner.applyQuaternion(turned);
      reach[0] = Math.max(reach[0], Math.abs(corner.x));
      reach[1] = Math.max(reach[1], Math.abs(corner.y));
    }
    const { clientWidth: wide, clientHeight: tall } = this.view.el;
    const needed = ROOM + 1.1 * Math.max(reach[1], (reach[0] * tall) / Math.max(wide, 1));
    const angle = (this.stage.viewer.perspectiveCamera.fov * Math.PI) / 360;
    const centre = new Vector3(...low.map((v, k) => v + half[k]));
    this.stage.animationControls.zoomMove(centre, -needed / Math.tan(angle), 0);
  }

  look([towards, up]) {
    const NGL = this.view.library;
    const cross = (p, q) =>
      [p[1] * q[2] - p[2] * q[1], p[2] * q[0] - p[0] * q[2], p[0] * q[1] - p[1] * q[0]];
    const unit = (p) => p.map((v) => v / Math.hypot(...p));
    // NGL's camera looks along +z with x to the left, so two of the axes change their sign.
    const minus = (p) => p.map((v) => -v);
    const z = unit(towards);
    const x = unit(cross(up, z));
    const y = cross(z, x);
    const matrix = new NGL.Matrix4();
    matrix.set(...minus(x), 0, ...y, 0, ...minus(z), 0, 0, 0, 0, 1);
    this.stage.viewerControls.rotate(new NGL.Quaternion().setFromRotationMatrix(matrix));
    this.fit();
  }

  // -- the crystal -----------------------------------------------------------------------------

  span(from, to) {
    return to > from ? `@${Array.from({ length: to - from }, (_, i) => from + i).join(",")}` : "none";
  }

  ink() {
    const style = getComputedStyle(this.view.el);
    const read = (name, other) => style.getPropertyValue(name).trim() || other;
    this.stage.setParameters({ backgroundColor: read("--jp-layout-color1", "#ffffff") });
    return document.body.dataset.jpThemeLight === "false" ? "#e0e0e0" : "#333333";
  }

  represent(component, c, ink) {
    const balls = this.span(0, c.atoms);
    const sticks = Object.fromEntries(
      Array.from({ length: c.total }, (_, i) => [i, i < c.atoms + c.stubs ? c.stick : c.edge]),
    );
    component.addRepresentation("spacefill", {
      sele: balls, color: this.scheme, radiusType: "data", radiusData: c.radii, radiusScale: 1,
      metalness: 0.0, roughness: 0.45,
    });
    component.addRepresentation("licorice", {
      sele: this.span(0, c.total), color: this.scheme, radiusType: "data", radiusData: sticks,
      radiusScale: 1, multipleBond: "off", roughness: 0.5,
    });
    const written = {
      labelType: "text", color: ink, labelGrouping: "atom", radiusType: "size",
      fixedSize: true, radiusSize: 1.5, // as readable in a large cell as in a small one
      attachment: "middle-center", showBorder: true, borderWidth: 0.2,
      borderColor: ink === "#333333" ? "white" : "black",
    };
    component.addRepresentation("label", {
      ...written, sele: `@${Object.keys(c.axes).join(",")}`, labelText: c.axes, zOffset: 4.0,
    });
    // In front of its own ball, and not of the balls before it.
    const sizes = {};
    for (const atom of Object.keys(c.labels ?? {})) (sizes[c.radii[atom]] ??= []).push(atom);
    for (const [radius, atoms] of Object.entries(sizes)) {
      component.addRepresentation("label", {
        ...written, sele: `@${atoms.join(",")}`, labelText: c.labels,
        zOffset: Number(radius) + 0.25,
      });
    }
  }

  // Put a shape onto the stage that the mouse goes through. NGL's own switch for that leaves an
  // invisible copy of the shape behind when it is taken away.
  addShape(shape, how) {
    const buffers = shape.getBufferList();
    for (const buffer of buffers) buffer.picking = undefined;
    shape.getBufferList = () => buffers;
    const component = this.stage.addComponentFromObject(shape);
    component.addRepresentation("buffer", how);
    return component;
  }

  // Return the polyhedra as one more component of the stage, or none.
  polyhedra(c) {
    if (!c.meshes?.length) return [];
    const shape = new this.view.library.Shape("polyhedra");
    for (const { colour, positions } of c.meshes) {
      const rgb = [16, 8, 0].map((shift) => ((colour >> shift) & 255) / 255);
      shape.addMesh(positions, positions.map((_, i) => rgb[i % 3]));
    }
    const how = { opacity: 0.5, side: "double", flatShaded: true, depthWrite: false };
    return [this.addShape(shape, how)];
  }

  // Draw what stands out: the atoms picked, and the lines between them.
  mark() {
    const { stage } = this;
    for (const one of this.marks) if (stage.compList.includes(one)) stage.removeComponent(one);
    this.marks = [];
    const atoms = this.model.get("marked").filter((atom) => atom < (this.last?.atoms ?? 0));
    const structure = this.parts[0]?.structure;
    if (!atoms.length || !structure) return;
    const orange = [1, 0.6, 0];
    const joined = this.model.get("joined");
    const places = atoms.map((atom) => structure.getAtomProxy(atom).positionToVector3());
    const marks = new this.view.library.Shape("picked");
    atoms.forEach((atom, i) => {
      marks.addSphere(places[i], orange, this.last.radii[atom] + 0.18);
      if (i && joined) marks.addCylinder(places[i - 1], places[i], orange, 0.06);
    });
    this.marks = [this.addShape(marks, { opacity: 0.45, depthWrite: false })];
  }

  // The latest call wins; crystals that come while one is drawn are left out but for the last.
  async show(crystal) {
    const skipped = this.waiting?.camera ?? "keep";
    this.waiting = skipped === "keep" ? crystal : { ...crystal, camera: skipped };
    if (this.running) return;
    this.running = true;
    try {
      while (this.waiting) {
        const next = this.waiting;
        this.waiting = null;
        await this.draw(next);
      }
    } finally {
      this.running = false;
    }
  }

  async draw(c) {
    const { stage } = this;
    const ink = this.ink();
    stage.viewer.rotationGroup.updateMatrix(); // else it is that of the last frame on screen
    const camera = stage.viewerControls.getOrientation();
    const blob = new Blob([c.sdf], { type: "text/plain" });
    const options = { ext: "sdf", defaultRepresentation: false, name: "crystal" };
    const component = await stage.loadFile(blob, options);
    const before = this.parts;
    this.colours = c.colours;
    this.last = c;
    this.tip.hidden = true;
    this.represent(component, c, ink);
    this.parts = [component, ...this.polyhedra(c)];
    this.mark();
    const mine = [...this.parts, ...this.marks];
    const old = stage.compList.filter((other) => !mine.includes(other));
    for (const other of old) other.setVisibility(false);
    if (old.length && c.camera !== "reset") {
      stage.viewerControls.orient(camera);
      if (c.camera === "fit") this.fit();
    } else {
      // A stage in a closed tab has no size, and a camera set now would be lost.
      this.later = !this.sized;
      this.resize();
      this.look(STANDARD);
    }
    // The old crystal goes when the new one is on screen: with it would go the compiled shaders
    // that both share, and compiling them again takes longer than all the rest. The last one alone
    // keeps them, so earlier ones that a hidden page never drew over can go at once.
    const drop = (others) => {
      for (const other of others) if (stage.compList.includes(other)) stage.removeComponent(other);
    };
    drop(old.filter((other) => !before.includes(other)));
    stage.viewer.signals.rendered.addOnce(() => {
      drop(old);
      this.view.el.dataset.ticket = String(c.ticket);
    });
    stage.viewer.requestRender();
  }

  async save(name) {
    const image = await this.stage.makeImage({ factor: 2, antialias: true, trim: true });
    this.view.library.download(image, name);
  }
}

async function start(model, el) {
  const say = (status) => {
    model.set("status", status);
    model.save_changes();
  };
  if (!webgl()) {
    say("no-webgl");
    return null;
  }
  const waiting = document.createElement("div");
  waiting.className = "cl-loading";
  waiting.textContent = "Loading the viewer…";
  el.append(waiting);
  let view;
  try {
    view = await makeView(model, el);
  } catch (error) {
    console.warn("The crystal viewer cannot use nglview:", error);
    el.replaceChildren();
    say("no-extension");
    return null;
  }
  waiting.remove();
  const drawing = new Drawing(view, model);
  const current = () => {
    const frames = model.get("frames");
    return frames[Math.min(model.get("frame"), frames.length - 1)] ?? {};
  };
  // A crystal that stays under the camera was seen by no earlier view: each view starts afresh.
  const first = current();
  if (first.sdf) drawing.show({ ...first, camera: "reset" });
  let due = false;
  let another = false; // and not merely another frame of the same trajectory
  const again = () => {
    const now = current();
    if (now.sdf) drawing.show(another ? now : { ...now, camera: "keep" });
    due = another = false;
  };
  const change = (whole) => () => {
    another ||= whole;
    if (!due) queueMicrotask(again); // one message can change several traits
    due = true;
  };
  model.on("change:marked", () => drawing.running || drawing.mark());
  model.on("change:frames", change(true));
  model.on("change:frame", change(false));
  model.on("msg:custom", (content) => {
    if (content.look) drawing.look(content.look === "standard" ? STANDARD : content.look);
    if (content.save) drawing.save(content.save);
  });
  say("ready");
  return drawing;
}

export default {
  initialize: hear,
  render({ model, el }) {
    const started = start(model, el);
    return () => { started.then((drawing) => drawing?.close()); };
  },
};
