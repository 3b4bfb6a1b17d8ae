import { took } from "stepwell-elements/when.js";

const ENDS = ["completed", "failed", "cancelled"];
const H = 200, LEFT = 36, BOTTOM = 20;

export default {
  props: { totals: Object, server: Object, shown: Boolean },
  data: () => ({ ends: ENDS, width: 1160, height: H }),
  template: `
    <div style="display: grid; gap: 1rem">
      <div class="sw-title"><h1>Overview</h1></div>
      <div class="sw-tiles" v-if="shown">
        <div class="sw-panel sw-tile"><b data-testid="all">{{ count(totals.all) }}</b><span>runs on record</span></div>
        <div class="sw-panel sw-tile"><b data-testid="open">{{ count(totals.open) }}</b><span>open</span></div>
        <div class="sw-panel sw-tile"><b data-testid="failed">{{ count(totals.failed) }}</b><span>failed</span></div>
        <div class="sw-panel sw-tile"><b data-testid="queued">{{ count(totals.queued) }}</b><span>wait for their turn</span></div>
        <template v-if="server">
          <div class="sw-panel sw-tile"><b>{{ count(server.active) }}</b><span>{{ server.driving ? 'driven here now' : 'this process does not drive' }}</span></div>
          <div class="sw-panel sw-tile" v-if="server.bytes != null"><b data-testid="disk">{{ size(server.bytes) }}</b><span :title="server.database">on disk</span></div>
          <div class="sw-panel sw-tile"><b>{{ server.batch.toFixed(1) }}</b><span>runs per transaction, in {{ count(server.commits) }} of them</span></div>
        </template>
      </div>
      <template v-if="server">
        <section class="sw-panel" aria-label="Runs per minute"><header><h2>Runs that ended, per minute</h2>
            <div class="sw-legend"><span v-for="end in ends" :key="end"><i :class="end"></i>{{ end }}</span></div></header>
          <div class="body" ref="chart"><svg class="sw-chart" :viewBox="'0 0 ' + width + ' ' + height" role="img" :aria-label="'In the last hour: ' + spoken">
            <g v-for="line in lines" :key="line.text"><line :x1="36" :x2="width" :y1="line.y" :y2="line.y" stroke="var(--line)" /><text x="0" :y="line.y + 4">{{ line.text }}</text></g>
            <rect v-for="bar in bars" :key="bar.key" :class="bar.end" :x="bar.x" :y="bar.y" :width="bar.w" :height="bar.h" style="fill: var(--c, var(--quiet))"><title>{{ bar.title }}</title></rect>
            <text x="36" :y="height - 4">1 h ago</text><text :x="width - 24" :y="height - 4">now</text></svg></div></section>
        <div class="sw-two">
          <section class="sw-panel" aria-label="Step latency"><header><h2>How long steps take</h2><span class="muted num">{{ quantiles(server.latency) }}</span></header>
            <div class="body"><table class="sw-table" v-if="steps.length"><tbody><tr v-for="row in steps" :key="row.name"><td class="num" style="width: 6rem">{{ row.name }}</td>
              <td><div :style="{width: row.share * 100 + '%'}" style="height: 0.8rem; min-width: 2px; border-radius: 3px; background: var(--running); opacity: 0.8"></div></td><td class="num" style="width: 5rem">{{ count(row.count) }}</td></tr></tbody></table>
              <div class="sw-empty" v-else style="padding: 1rem">No step has ended since the server began.</div></div></section>
          <section class="sw-panel" aria-label="Failures"><header><h2>Why runs failed</h2><span class="muted">since the server began</span></header>
            <div class="body"><table class="sw-table" v-if="server.causes.length"><tbody><tr v-for="[cause, number] in server.causes" :key="cause" :data-cause="cause"><td>{{ cause }}</td><td class="num">{{ count(number) }}</td></tr></tbody></table>
              <div class="sw-empty" v-else style="padding: 1rem">No run has failed.</div></div></section>
        </div>
        <section class="sw-panel" aria-label="Nodes"><header><h2>Nodes that drive runs</h2></header>
          <div class="body sw-scroll" tabindex="0" role="group" aria-label="Table of nodes"><table class="sw-table" v-if="server.nodes.length"><thead><tr><th>machine</th><th class="num">process</th><th>version</th><th class="num">runs in hand</th><th>last heard</th></tr></thead>
            <tbody><tr v-for="node in server.nodes" :key="node.host + node.pid" :data-node="node.pid"><td>{{ node.host }}</td><td class="num">{{ node.pid }}</td><td>{{ node.version }}</td><td class="num">{{ count(node.runs) }}</td>
              <td>{{ node.silent_s < 2 ? 'now' : took(node.silent_s) + ' ago' }}</td></tr></tbody></table>
            <div class="sw-empty" v-else style="padding: 1rem">No process drives runs of this database.</div></div></section>
        <p class="muted">Commits: {{ quantiles(server.commit) }}. Prometheus reads the same numbers at <a href="/metrics">/metrics</a>.</p>
      </template>
    </div>`,
  computed: {
    most() { return Math.max(4, ...this.server.minutes.map((minute) => ENDS.reduce((sum, end) => sum + (minute[end] || 0), 0))); },
    lines() { return [0, 0.5, 1].map((share) => ({ y: 8 + (1 - share) * (H - BOTTOM - 8), text: Math.round(this.most * share).toLocaleString() })); },
    bars() {
      const wide = (this.width - LEFT) / 60, high = H - BOTTOM - 8, bars = [];
      this.server.minutes.forEach((minute, index) => {
        let below = 0;
        for (const end of ENDS) {
          const number = minute[end];
          if (!number) continue;
          const h = (number / this.most) * high;
          bars.push({ key: index + end, end, x: LEFT + index * wide + 1, w: Math.max(wide - 2, 1), y: 8 + high - below - h, h, title: number + " " + end + ", " + (59 - index) + " min ago" });
          below += h;
        }
      });
      return bars;
    },
    spoken() { return ENDS.map((end) => this.server.minutes.reduce((sum, minute) => sum + (minute[end] || 0), 0) + " " + end).join(", "); },
    steps() {
      const { bounds, counts } = this.server.buckets, top = Math.max(...counts);
      return counts.map((count, index) => ({ name: index < bounds.length ? "≤ " + took(bounds[index]) : "longer", count, share: count / top })).filter((row) => row.count);
    },
  },
  mounted() { this.sizes = new ResizeObserver(() => this.fit()); this.fit(); },
  updated() { this.fit(); },
  unmounted() { this.sizes.disconnect(); },
  methods: {
    fit() { // a chart that shrank with the page would have texts that nobody can read
      const place = this.$refs.chart;
      if (!place) return;
      this.sizes.observe(place);
      const style = getComputedStyle(place), wide = place.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
      if (wide > 0 && Math.abs(wide - this.width) > 1) this.width = wide;
    },
    took,
    count: (number) => (number ?? 0).toLocaleString(),
    size: (bytes) => (bytes < 1e6 ? (bytes / 1e3).toFixed(0) + " kB" : bytes < 1e9 ? (bytes / 1e6).toFixed(1) + " MB" : (bytes / 1e9).toFixed(2) + " GB"),
    quantiles: (found) => Object.entries(found).filter(([, value]) => value != null).map(([name, value]) => name + " ≤ " + took(value)).join(" · ") || "none yet",
  },
};
