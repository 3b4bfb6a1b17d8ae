import { clock, date, now, took } from "stepwell-elements/when.js";
import { json } from "stepwell-elements/values.js";

export default {
  emits: ["detail", "act"],
  props: { lanes: Array, run: Object, total: Number, mayAct: Boolean },
  data: () => ({ now: now(), detail: null }),
  template: `
    <section class="sw-panel" aria-label="Timeline">
      <header><h2>Timeline</h2><span class="muted num">{{ lanes.length }} {{ lanes.length === 1 ? 'step' : 'steps' }}<template v-if="run?.started"> · {{ took(end - begin) }}</template></span></header>
      <div class="sw-lanes" style="padding: 0.4rem 0 0.6rem" role="list">
        <div class="sw-axis" aria-hidden="true" v-if="lanes.length"><span></span><div><span v-for="tick in 6" :key="tick" :style="{ left: (tick - 1) * 20 + '%' }">{{ took((tick - 1) / 5 * (end - begin)) || '0' }}</span></div><span></span></div>
        <div class="sw-lane" role="listitem" v-for="lane in lanes" :key="lane.key" :data-step="lane.key" :data-status="lane.status">
          <button class="name" @click="toggle(lane.key)" :title="lane.key" :aria-expanded="detail?.key === lane.key">
            <span :class="['sw-status', lane.status]">{{ lane.name || lane.key }}</span><small v-if="lane.attempts > 1"> ×{{ lane.attempts }}</small></button>
          <div class="track">
            <span v-for="(bar, index) in lane.bars" :key="index" :class="['sw-bar', bar.kind, bar.status, bar.end == null && 'open']"
              :style="place(bar)" :title="about(lane, bar)"></span>
          </div>
          <span class="took">{{ took((lane.end || now) - lane.start) }}</span>
        </div>
        <div class="sw-empty" v-if="!lanes.length" style="padding: 1.2rem">No step has begun yet.</div>
        <p class="muted" style="padding: 0 1rem" v-if="total > lanes.length && lanes.length >= 300">The first {{ lanes.length }} of {{ total }} steps; the download has all.</p>
      </div>
      <div class="sw-detail" v-if="detail" role="region" aria-label="Step">
        <div class="sw-run-title"><h2>{{ detail.name }}</h2><span :class="['sw-status', 'pill', detail.status]">{{ detail.status }}</span>
          <code class="muted">{{ detail.key }}</code><span style="flex: 1"></span>
          <a v-if="detail.child" class="sw-btn small" :href="'/console/runs/' + detail.child">Open child run</a>
          <button v-if="run.allowed.includes('retry')" class="sw-btn small" :disabled="!mayAct" @click="$emit('act', {verb: 'retry', step: detail.key})">Retry from here</button>
          <button v-if="run.allowed.includes('roll_back') && detail.endedSeq" class="sw-btn small" :disabled="!mayAct"
            @click="$emit('act', {verb: 'roll_back', seq: detail.endedSeq})">Roll back to after this</button>
          <button class="sw-btn small plain" @click="detail = null" aria-label="Close the step">Close</button></div>
        <div v-for="attempt in detail.attempts" :key="attempt.number" class="muted" style="font-size: 0.85rem">
          Attempt {{ attempt.number }}: <span :class="['sw-status', attempt.status]">{{ attempt.status }}</span>
          from {{ clock(attempt.start) }}<template v-if="attempt.end">, {{ took(attempt.end - attempt.start) }}</template><template v-if="attempt.late"> (late, discarded)</template>
          <div class="sw-fault" v-if="attempt.error">{{ attempt.error }}</div></div>
        <template v-for="(value, name) in detail.values" :key="name"><div v-if="value != null"><b style="font-size: 0.85rem">{{ name }}</b>
          <pre class="sw-json sw-panel" v-html="json(value)" tabindex="0" :aria-label="name"></pre></div></template>
      </div>
    </section>`,
  computed: {
    begin() { return Math.min(this.run?.started ?? Infinity, ...this.lanes.map((lane) => lane.start)); },
    end() {
      const known = this.lanes.flatMap((lane) => lane.bars.map((bar) => bar.end ?? this.now));
      return Math.max(this.begin + 0.001, this.run?.ended ?? this.now, ...(this.run?.ended ? known.filter((at) => at <= this.run.ended) : []));
    },
  },
  mounted() { this.ticker = setInterval(() => { if (!this.run?.ended) this.now = now(); }, 250); },
  unmounted() { clearInterval(this.ticker); },
  methods: {
    clock, took, json,
    place(bar) {
      const whole = this.end - this.begin;
      const start = Math.min(Math.max((bar.start - this.begin) / whole, 0), 1);
      const end = Math.min(Math.max(((bar.end ?? this.end) - this.begin) / whole, start), 1);
      return { left: start * 100 + "%", width: (end - start) * 100 + "%" };
    },
    about(lane, bar) {
      const what = bar.kind === "delay" ? "waits to try again" : bar.kind === "wait" ? "waits" : "attempt " + bar.number + ": " + bar.status;
      return lane.name + ", " + what + ", " + clock(bar.start) + (bar.end ? ", " + took(bar.end - bar.start) : "") + (bar.error ? "\n" + bar.error : "");
    },
    toggle(key) { if (this.detail?.key === key) this.detail = null; else this.$emit("detail", key); },
    open(detail) {
      this.detail = detail;
      this.$nextTick(() => this.$el.querySelector(".sw-detail")?.scrollIntoView({ block: "nearest" }));
    },
  },
};
