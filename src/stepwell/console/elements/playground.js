import { json } from "stepwell-elements/values.js";
import { clock } from "stepwell-elements/when.js";

export default {
  emits: ["example", "run", "simulate", "dark"],
  props: { examples: Array, faults: Array, kind: String, mayAct: Boolean, mayRun: Boolean, run: Object },
  data: () => ({ input: "", executions: 1, events: [], messages: null }),
  template: `
    <div style="display: grid; gap: 1rem">
      <section class="sw-panel" aria-label="Playground"><header><h2>Playground</h2>
          <select class="sw-input" aria-label="Examples" name="example" @change="$emit('example', $event.target.value); $event.target.value = ''"><option value="">Examples…</option><option v-for="name in examples" :key="name">{{ name }}</option></select></header>
        <div class="body" style="display: grid; gap: 0.8rem">
          <div role="status" data-testid="verdict"><span v-if="!faults.length" class="sw-status completed">a {{ kind }} without faults</span>
            <span v-else class="sw-status failed">{{ faults.length }} {{ faults.length === 1 ? 'fault' : 'faults' }}</span></div>
          <ul class="sw-problems" v-if="faults.length" aria-label="Faults"><li v-for="(fault, index) in faults" :key="index" :data-line="fault.line"><button type="button" @click="show(fault.line)"><b v-if="fault.line">line {{ fault.line }}</b> <code>{{ fault.pointer }}</code> {{ fault.message }}</button></li></ul>
          <label class="sw-field" v-if="kind !== 'pipeline'"><span>Input <span class="hint">(JSON)</span></span><textarea class="sw-input" v-model="input" name="input" style="min-height: 4rem" spellcheck="false" placeholder='{"name": "Ann"}'></textarea></label>
          <label class="sw-field" v-else><span>Executions to simulate</span><input class="sw-input" type="number" min="1" max="1000" v-model.number="executions" name="executions"></label>
          <div class="sw-actions"><button class="sw-btn primary" :disabled="!mayAct || !mayRun || faults.length > 0" @click="$emit('run', {input})">Run</button>
            <button v-if="kind === 'pipeline'" class="sw-btn" :disabled="faults.length > 0" @click="$emit('simulate', {executions})">Simulate</button></div>
          <p class="muted" v-if="!mayRun && !faults.length" style="margin: 0">Only an administrator may run a flow here: it may call any address.</p>
        </div></section>
      <section class="sw-panel" aria-label="Simulation" v-if="messages"><header><h2>Simulation</h2><span class="muted num">{{ messages.length }} messages</span></header>
        <div class="sw-log" tabindex="0"><table data-testid="simulation"><tbody><tr v-for="(message, index) in messages" :key="index"><td class="num">#{{ message.execution }}</td><td><span class="type">{{ message.stage }}</span><pre>{{ message.payload }}</pre></td></tr></tbody></table></div></section>
      <section class="sw-panel" aria-label="Run" v-if="run"><header><h2>Run</h2><span :class="['sw-status', 'pill', run.status]" data-testid="status">{{ run.status }}</span><a class="sw-btn small" :href="'/console/runs/' + run.id">Open</a></header>
        <pre class="sw-json" v-if="run.output != null" v-html="json(run.output)" tabindex="0" aria-label="Output" data-testid="output"></pre>
        <div class="sw-log" tabindex="0"><table data-testid="history"><tbody><tr v-for="row in events" :key="row.seq" :data-type="row.type"><td class="seq">{{ row.seq }}</td><td class="at">{{ clock(row.at) }}</td><td><span class="type">{{ row.type }}</span> <code class="muted">{{ row.key }}</code><pre v-if="row.data">{{ row.data }}</pre></td></tr></tbody></table></div></section>
    </div>`,
  mounted() {
    this.tell = () => {
      const chosen = document.documentElement.dataset.theme;
      this.$emit("dark", chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches);
    };
    this.tell();
    addEventListener("stepwell-theme", this.tell);
  },
  unmounted() { removeEventListener("stepwell-theme", this.tell); },
  methods: {
    clock, json,
    add(rows) { this.events = [...this.events, ...rows].slice(-500); },
    clear() { this.events = []; this.messages = null; },
    simulated(messages) { this.messages = messages; },
    show(line) {
      const rows = document.querySelectorAll(".cm-line"), row = rows[line - 1];
      row?.scrollIntoView({ block: "center" });
      document.querySelector(".cm-content")?.focus();
    },
  },
};
