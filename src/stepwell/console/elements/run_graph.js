// Mermaid is large: it is on its way while the rest of the page is shown, and asked for again when it did not come.
let coming = null;
const library = () => (coming ??= import("nicegui-mermaid").then(prepared, (error) => { coming = null; throw error; }));
const prepared = ({ mermaid }) => {
  mermaid.initialize({ startOnLoad: false, securityLevel: "strict", suppressErrorRendering: true, theme: "base", fontFamily: "inherit",
    flowchart: { htmlLabels: true, curve: "basis", nodeSpacing: 34, rankSpacing: 38, subGraphTitleMargin: { top: 2, bottom: 14 } } });
  return mermaid;
};
library().catch(() => {}); // said when a graph is drawn
const AGAIN_MS = 1000;
let turn = Promise.resolve(); // Mermaid draws one graph at a time

export default {
  emits: ["detail"],
  props: { text: String, statuses: Object },
  data: () => ({ fault: "", drawn: false }),
  template: `
    <section class="sw-panel" aria-label="Graph">
      <header><h2>Graph</h2></header>
      <div class="sw-graph" ref="place" v-show="text && !fault" tabindex="0" role="img" aria-label="The workflow's graph; nodes show the status of their steps"></div>
      <div class="sw-empty" v-if="text && !drawn && !fault" style="padding: 1.5rem">…</div>
      <div class="sw-empty" v-if="!text" style="padding: 1.5rem">A Python function: what it does is in the timeline.</div>
      <div class="sw-empty" v-if="fault" style="padding: 1.5rem; overflow-wrap: anywhere">This graph cannot be drawn: {{ fault }}</div>
    </section>`,
  mounted() {
    this.draw();
  },
  unmounted() { clearTimeout(this.again); },
  watch: { text() { this.draw(); }, statuses() { this.paint(); } },
  methods: {
    draw() {
      if (!this.text) return;
      turn = turn.then(async () => {
        try {
          const { svg } = await (await library()).render("graph-" + Math.random().toString(36).slice(2), this.text);
          this.$refs.place.innerHTML = svg;
          this.fault = "";
          this.drawn = true;
          // Mermaid draws arrows over the titles of boxes: titles go last.
          for (const title of this.$refs.place.querySelectorAll(".cluster-label")) title.closest("g.root")?.append(title);
          for (const node of this.nodes()) node.addEventListener("click", () => this.$emit("detail", this.id(node)));
          this.paint();
        } catch (error) {
          this.fault = error.message;
          // Mermaid fetches its parts when it draws: without a server that fails as a TypeError, and is tried again.
          if (error instanceof TypeError) this.again = setTimeout(() => this.draw(), AGAIN_MS);
        }
      });
    },
    nodes() { return this.$refs.place.querySelectorAll("g.node"); },
    id: (node) => /(?:^|-)flowchart-(.+)-\d+$/.exec(node.id)?.[1] ?? node.id,
    paint() {
      for (const node of this.nodes()) {
        const status = this.statuses?.[this.id(node)];
        for (const old of [...node.classList].filter((name) => name === node.dataset.status)) node.classList.remove(old);
        if (status) { node.dataset.status = status; node.classList.add(status); } else delete node.dataset.status;
      }
    },
  },
};
