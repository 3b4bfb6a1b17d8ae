import { ago, date, took, ticking } from "stepwell-elements/when.js";

const STATUSES = ["running", "waiting", "scheduled", "pending", "paused", "stopping", "completed", "failed", "cancelled"];
const RANGES = [["", "Any time"], ["15m", "Last 15 minutes"], ["1h", "Last hour"], ["24h", "Last 24 hours"],
  ["7d", "Last 7 days"], ["30d", "Last 30 days"], ["custom", "From … to …"]];
const NAMES = ["status", "workflow", "door", "owner", "text", "since", "from", "to", "before"];
const read = (text) => (text ? JSON.parse(text) : { rows: [], more: false, counts: {}, workflows: [] });
const REASONS = { approval: "approval", callback: "callback", event: "event", timer: "timer", child: "child run" };

export default {
  mixins: [ticking],
  emits: ["view", "act", "example"],
  props: { view: Object, given: String, mayAct: Boolean, allOwners: Boolean },
  data() {
    return { known: read(this.given), chosen: {}, at: null, text: this.view.text || "", owner: this.view.owner || "",
      custom: Boolean(this.view.from || this.view.to), asking: null, ranges: RANGES };
  },
  template: `
    <div style="display: grid; gap: 1rem">
      <div class="sw-title"><h1>Runs</h1>
        <span class="muted sw-wide"><kbd>/</kbd> search <kbd>j</kbd> <kbd>k</kbd> move <kbd>x</kbd> choose <kbd>↵</kbd> open</span>
        <button class="sw-btn small" @click="copyLink" title="The address holds all filters">Copy link to this view</button>
      </div>
      <div class="sw-chips" role="group" aria-label="Status">
        <button class="sw-chip all" :aria-pressed="!statuses.length" @click="set({status: ''})">All <b>{{ total.toLocaleString() }}</b></button>
        <button v-for="status in shownStatuses" :key="status" :class="['sw-chip', status]" :data-status="status"
          :aria-pressed="statuses.includes(status)" @click="toggle(status)">{{ status }} <b>{{ (known.counts[status] || 0).toLocaleString() }}</b></button>
      </div>
      <form class="sw-filters" role="search" @submit.prevent="set({text, owner})">
        <input ref="search" class="sw-input grow" type="search" v-model="text" @change="set({text})" name="text"
          placeholder="Id, workflow or label" aria-label="Search by id, workflow or label">
        <select class="sw-input" name="workflow" aria-label="Workflow" :value="view.workflow || ''" @change="set({workflow: $event.target.value})">
          <option value="">All workflows</option><option v-for="name in listed(known.workflows, view.workflow)" :key="name">{{ name }}</option>
        </select>
        <select class="sw-input" name="door" aria-label="Door" :value="view.door || ''" @change="set({door: $event.target.value})">
          <option value="">All doors</option>
          <option v-for="name in listed(['agents','runs','devset','llama','console'], view.door)" :key="name">{{ name }}</option>
        </select>
        <select class="sw-input" name="since" aria-label="Time" :value="custom ? 'custom' : view.since || ''" @change="range($event.target.value)">
          <option v-for="[value, name] in ranges" :key="value" :value="value">{{ name }}</option>
        </select>
        <template v-if="custom">
          <input class="sw-input" type="datetime-local" name="from" aria-label="From" :value="local(view.from)" @change="set({from: instant($event)})">
          <input class="sw-input" type="datetime-local" name="to" aria-label="To" :value="local(view.to)" @change="set({to: instant($event)})">
        </template>
        <input v-if="allOwners" class="sw-input" v-model="owner" @change="set({owner})" name="owner" placeholder="Owner" aria-label="Owner" size="12">
        <button v-if="filtered" type="button" class="sw-btn plain" @click="clear">Clear</button>
      </form>
      <section class="sw-panel" aria-label="List of runs">
        <div class="sw-bulk" v-if="ids.length" role="region" aria-label="Chosen runs">
          <b>{{ ids.length }} chosen</b>
          <template v-if="asking"><span>Really {{ asking }} {{ ids.length === 1 ? 'it' : 'them' }}?</span>
            <button class="sw-btn small primary" ref="sure" @click="act">Yes, {{ asking }}</button>
            <button class="sw-btn small" @click="asking = null">No</button></template>
          <template v-else>
            <button class="sw-btn small danger" :disabled="!mayAct" @click="ask('cancel')">Cancel</button>
            <button class="sw-btn small" :disabled="!mayAct" @click="ask('retry')">Retry</button>
            <button class="sw-btn small plain" @click="chosen = {}">Clear</button></template>
        </div>
        <div class="sw-scroll" v-if="list.length">
          <table class="sw-table sw-runs" @keydown="key">
            <thead><tr>
              <th><input type="checkbox" aria-label="Choose all on this page" :checked="list.every((row) => chosen[row.id])" @change="chooseAll($event.target.checked)"></th>
              <th>Status</th><th>Workflow</th><th class="sw-wide">At</th><th class="sw-wide">Door</th>
              <th class="sw-wide" v-if="allOwners">Owner</th><th class="num">Started</th><th class="num">Took</th>
            </tr></thead>
            <tbody>
              <tr v-for="(row, index) in list" :key="row.id" :data-run="row.id">
                <td class="box"><input type="checkbox" :aria-label="'Choose run ' + row.id" v-model="chosen[row.id]"></td>
                <td class="state"><span :class="['sw-status', row.status]">{{ row.status }}</span><small class="muted" v-if="row.reason">&nbsp;· {{ reason(row) }}</small></td>
                <td class="wf"><a :href="'/console/runs/' + row.id" :ref="'open' + index" @focus="at = row.id">{{ row.workflow }}</a>
                  <br><small class="mono muted" :title="row.id">…{{ row.id.slice(-12) }}</small><small class="muted" v-if="row.version"> · {{ row.version }}</small></td>
                <td class="at"><div :class="['step', row.error && 'why']" :title="row.error || row.step">{{ row.error || row.step }}</div></td>
                <td class="sw-wide muted">{{ row.door }}</td><td class="sw-wide muted" v-if="allOwners">{{ row.owner }}</td>
                <td class="num muted started" :title="date(row.created)">{{ ago(row.created, now) }}</td>
                <td class="num took">{{ row.started ? took((row.ended || now) - row.started) : '' }}</td>
              </tr>
            </tbody>
          </table>
        </div>
        <div class="sw-empty" v-else-if="given && filtered"><h2>No run is like that</h2>Loosen a filter, or <a href="/console/">show all runs</a>.</div>
        <div class="sw-empty" v-else-if="given"><h2>No run yet</h2>
          <p v-if="allOwners && mayAct"><button class="sw-btn primary" @click="$emit('example')">Run an example</button></p>
          Start one from <a href="/console/workflows">Workflows</a> or try a document in the <a href="/console/playground">Playground</a>.</div>
        <div class="sw-foot"><span class="grow">{{ view.before ? 'Older runs' : 'Newest first' }}</span>
          <button class="sw-btn small" :disabled="!view.before" @click="set({before: ''}, true)">Newest</button>
          <button class="sw-btn small" :disabled="!known.more" @click="set({before: list[list.length - 1].id}, true)">Older</button>
        </div>
      </section>
    </div>`,
  computed: {
    list() { return this.known.rows; },
    statuses() { return (this.view.status || "").split(",").filter(Boolean); },
    shownStatuses() { return STATUSES.filter((status) => this.known.counts[status] || this.statuses.includes(status)); },
    focus() { return Math.max(this.list.findIndex((row) => row.id === this.at), 0); },
    total() { return Object.values(this.known.counts).reduce((sum, number) => sum + number, 0); },
    ids() { return Object.keys(this.chosen).filter((id) => this.chosen[id]); },
    filtered() { return NAMES.some((name) => name !== "before" && this.view[name]); },
  },
  watch: {
    given(text) { this.known = read(text); },
  },
  mounted() {
    this.onKey = (event) => {
      if (event.target.closest("input, textarea, select, dialog") || event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key === "/") { event.preventDefault(); this.$refs.search.focus(); }
      if ((event.key === "j" || event.key === "k") && this.list.length) this.move(event.key === "j" ? 1 : -1);
      if (event.key === "x" && this.list[this.focus]) {
        const id = this.list[this.focus].id;
        this.chosen[id] = !this.chosen[id];
      }
    };
    this.onBack = () => this.show(this.wanted());
    addEventListener("keydown", this.onKey);
    addEventListener("popstate", this.onBack);
  },
  unmounted() { removeEventListener("keydown", this.onKey); removeEventListener("popstate", this.onBack); },
  methods: {
    patch({ rows, gone, around, order }) {
      const left = this.list.filter((row) => !gone.includes(row.id)), had = new Set(left.map((row) => row.id));
      const found = Object.fromEntries([...left, ...rows].map((row) => [row.id, row]));
      const ids = order ?? [...rows.filter((row) => !had.has(row.id)), ...left].map((row) => row.id);
      this.known = { ...this.known, ...around, rows: ids.map((id) => found[id]).filter(Boolean) };
    },
    ago, date, took,
    reason: (row) => REASONS[row.reason] || row.reason,
    listed: (names, current) => (current && !names.includes(current) ? [current, ...names] : names),
    local(at) {
      if (!at) return "";
      const shifted = new Date(at * 1000 - new Date(at * 1000).getTimezoneOffset() * 60000);
      return shifted.toISOString().slice(0, 16);
    },
    instant: (event) => (event.target.value ? String(new Date(event.target.value).getTime() / 1000) : ""),
    range(value) {
      this.custom = value === "custom";
      this.set(this.custom ? { since: "" } : { since: value, from: "", to: "" });
    },
    // What the address says: `view` is the server's answer to it, and another filter may be chosen before that comes.
    wanted: () => Object.fromEntries(new URLSearchParams(location.search)),
    toggle(status) {
      const statuses = (this.wanted().status || "").split(",").filter(Boolean), others = statuses.filter((one) => one !== status);
      this.set({ status: (others.length === statuses.length ? [...others, status] : others).join(",") });
    },
    set(change, paging) {
      const view = { ...this.wanted(), ...(paging ? {} : { before: "" }), ...change };
      const kept = Object.fromEntries(NAMES.filter((name) => view[name]).map((name) => [name, view[name]]));
      const query = new URLSearchParams(kept).toString();
      if (location.search.slice(1) === query) return;
      window.history.pushState(null, "", "/console/" + (query ? "?" + query : ""));
      this.show(kept);
    },
    show(view) {
      this.chosen = {}; this.asking = null; this.at = null;
      this.text = view.text || ""; this.owner = view.owner || "";
      this.custom = this.custom || Boolean(view.from || view.to);
      this.$emit("view", view);
    },
    clear() { this.custom = false; this.set(Object.fromEntries(NAMES.map((name) => [name, ""]))); },
    chooseAll(on) { this.chosen = on ? Object.fromEntries(this.list.map((row) => [row.id, true])) : {}; },
    ask(verb) { this.asking = verb; this.$nextTick(() => this.$refs.sure.focus()); },
    act() { this.$emit("act", { verb: this.asking, ids: this.ids }); this.asking = null; this.chosen = {}; },
    move(by) {
      const to = Math.min(Math.max(this.focus + by, 0), this.list.length - 1), link = this.$refs["open" + to];
      (Array.isArray(link) ? link[0] : link)?.focus();
    },
    key(event) {
      if (event.key === "ArrowDown" || event.key === "ArrowUp") {
        event.preventDefault();
        this.move(event.key === "ArrowDown" ? 1 : -1);
      }
    },
    async copyLink() { await navigator.clipboard?.writeText(location.href); },
  },
};
