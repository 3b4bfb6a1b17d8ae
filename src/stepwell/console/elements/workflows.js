import SchemaForm, { initial } from "stepwell-elements/schema_form.js";
import { date, took } from "stepwell-elements/when.js";
import RunGraph from "stepwell-elements/run_graph.js";

export default {
  components: { SchemaForm, RunGraph },
  emits: ["choose", "start", "schedule", "pause", "unschedule"],
  props: { listed: Array, chosen: Object, schedules: Array, mayAct: Boolean, shown: Boolean },
  data: () => ({ wanted: "", input: undefined, fault: "", cron: "", every: "", zone: "UTC", tab: "Start", openFor: "" }),
  template: `
    <div style="display: grid; gap: 1rem">
      <div class="sw-title"><h1>Workflows</h1></div>
      <section class="sw-panel sw-empty" v-if="shown && !listed.length"><h2>No workflow yet</h2>Load documents from a folder, or register Python functions:
        <div><pre>stepwell serve --flows flows/
stepwell serve --app shop:app</pre></div>
        <p>Or try one in the <a href="/console/playground">Playground</a>.</p></section>
      <div class="sw-split" v-if="listed.length">
        <nav class="sw-panel" aria-label="Workflows"><div style="padding: 0.6rem 0.6rem 0"><input class="sw-input" style="width: 100%" v-model="wanted" placeholder="Find" aria-label="Find a workflow"></div>
          <ul class="sw-list"><li v-for="one in found" :key="one.name"><a :href="address(one.name)" :aria-current="chosen?.name === one.name" @click.prevent="choose(one.name)">{{ one.title }}<small>{{ one.kind }}<template v-if="one.version"> · {{ one.version }}</template></small></a></li></ul></nav>
        <div style="display: grid; gap: 1rem; min-width: 0" v-if="chosen">
          <section class="sw-panel" :aria-label="chosen.title"><header><h2 style="flex: none">{{ chosen.title }}</h2><code class="muted" v-if="chosen.title !== chosen.name">{{ chosen.name }}</code>
              <select class="sw-input" aria-label="Version" name="version" :value="chosen.version" @change="choose(chosen.name, $event.target.value)"><option v-for="one in chosen.versions" :key="one.version" :value="one.version">{{ one.version || 'no version' }} · {{ date(one.at) }}</option></select>
              <span style="flex: 1"></span><a class="sw-btn small" :href="'/console/?workflow=' + encodeURIComponent(chosen.name)">Its runs</a></header>
            <div style="padding: 0.5rem 1rem 0"><div class="sw-tabs" role="tablist"><button v-for="name in tabs" :key="name" role="tab" :aria-selected="tab === name" @click="tab = name">{{ name }}</button></div></div>
            <form class="body sw-form" v-if="tab === 'Start'" @submit.prevent="start" :key="chosen.name + chosen.version">
              <SchemaForm :schema="chosen.schema" v-model="input" @fault="fault = $event" />
              <div class="sw-actions"><button class="sw-btn primary" :disabled="!mayAct || !chosen.runnable || Boolean(fault)">Start a run</button></div>
              <p class="muted" v-if="!chosen.runnable" style="margin: 0">This server cannot run it: it is known to another one.</p>
            </form>
            <pre class="sw-json" v-else-if="tab === 'Source'" tabindex="0" data-testid="source">{{ chosen.source }}</pre>
            <div v-else class="body" style="display: grid; gap: 1rem">
              <div class="sw-scroll" v-if="schedules.length"><table class="sw-table"><thead><tr><th>When</th><th>Next</th><th>Last run</th><th></th></tr></thead><tbody>
                <tr v-for="rule in schedules" :key="rule.id" :data-schedule="rule.id"><td>{{ when(rule) }}<div class="sw-fault" v-if="rule.error">{{ rule.error }}</div></td>
                  <td><span v-if="rule.paused" class="sw-status paused">paused</span><template v-else>{{ date(rule.next) }}</template></td>
                  <td><a v-if="rule.last" :href="'/console/runs/' + rule.last" class="mono">…{{ rule.last.slice(-12) }}</a></td>
                  <td class="num"><button class="sw-btn small" :disabled="!mayAct" @click="$emit('pause', {id: rule.id})">{{ rule.paused ? 'Resume' : 'Pause' }}</button>
                    <button v-if="rule.own" class="sw-btn small danger" :disabled="!mayAct" @click="$emit('unschedule', {id: rule.id})">Remove</button></td></tr></tbody></table></div>
              <p class="muted" v-else style="margin: 0">It does not start by itself.</p>
              <form class="sw-filters" @submit.prevent="schedule"><input class="sw-input" v-model="cron" name="cron" placeholder="cron: 0 3 * * *" aria-label="Cron expression">
                <input class="sw-input" v-model="zone" name="timezone" size="12" aria-label="Time zone"><span class="muted">or every</span>
                <input class="sw-input" type="number" min="0" step="any" v-model="every" name="every" size="6" aria-label="Every so many seconds"><span class="muted">s</span>
                <button class="sw-btn" :disabled="!mayAct || (!cron && !every)">Schedule</button><span class="muted">with the input of the tab Start</span></form>
            </div>
          </section>
          <RunGraph :text="chosen.graph" :statuses="{}" />
        </div>
      </div>
    </div>`,
  computed: {
    found() { const wanted = this.wanted.toLowerCase(); return this.listed.filter((one) => (one.title + one.name).toLowerCase().includes(wanted)); },
    tabs() { return ["Start", ...(this.chosen.source ? ["Source"] : []), "Schedule"]; },
  },
  watch: {
    chosen: { immediate: true, handler(chosen) {
      const which = chosen ? chosen.name + "\n" + chosen.version : "";
      if (which === this.openFor) return;
      this.openFor = which;
      this.input = chosen ? initial(chosen.schema) : undefined;
      this.fault = "";
      if (chosen && !this.tabs.includes(this.tab)) this.tab = "Start";
    } },
  },
  mounted() {
    this.onBack = () => this.$emit("choose", Object.fromEntries(new URLSearchParams(location.search)));
    addEventListener("popstate", this.onBack);
  },
  unmounted() { removeEventListener("popstate", this.onBack); },
  methods: {
    date,
    address: (name, version) => "/console/workflows?" + new URLSearchParams(version ? { name, version } : { name }),
    choose(name, version) {
      window.history.pushState(null, "", this.address(name, version));
      this.$emit("choose", { name, version: version || "" });
    },
    start() { this.$emit("start", { name: this.chosen.name, version: this.chosen.version, input: this.input ?? null }); },
    schedule() {
      this.$emit("schedule", { name: this.chosen.name, input: this.input ?? null, cron: this.cron, timezone: this.zone, every_s: this.cron ? null : Number(this.every) });
      this.cron = this.every = "";
    },
    when: (rule) => rule.cron ? rule.cron + " (" + rule.timezone + ")" : rule.every_s ? "every " + took(rule.every_s) : rule.after_s != null ? took(rule.after_s) + " after the end of the last" : "once at " + date(rule.at),
  },
};
