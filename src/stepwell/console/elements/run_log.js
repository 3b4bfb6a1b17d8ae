import { clock, date } from "stepwell-elements/when.js";

const MOST = 2000; // rows kept in the page; the download has all

export default {
  props: { first: Number },
  data: () => ({ tab: "History", history: [], stream: [], messages: [], paused: false, held: [], filter: "" }),
  template: `
    <section class="sw-panel" aria-label="Log">
      <header><div class="sw-tabs" role="tablist" aria-label="Log">
          <button v-for="name in ['History', 'Stream', 'Messages']" :key="name" role="tab" :aria-selected="name === tab" :tabindex="name === tab ? 0 : -1"
            @click="tab = name; follow()" @keydown="key">{{ name }} <span class="num muted">{{ rows(name).length || '' }}</span></button></div>
        <input class="sw-input" style="width: 11rem" v-model="filter" placeholder="Filter" aria-label="Filter the log">
        <button class="sw-btn small" :aria-pressed="paused" :aria-label="paused ? 'Go on with the log' : 'Pause the log'" @click="pause">{{ paused ? 'Go on' + (held.length ? ' (' + held.length + ')' : '') : 'Pause' }}</button></header>
      <div class="sw-log" ref="log" tabindex="0" role="tabpanel" :aria-label="tab" @scroll="scrolled">
        <p class="muted" style="padding: 0 1rem" v-if="tab === 'History' && first">Events 1 to {{ first }} are in the download.</p>
        <table v-if="tab === 'History'" data-testid="history"><tbody><tr v-for="row in shown" :key="row.seq" :data-seq="row.seq" :data-type="row.type">
          <td class="seq">{{ row.seq }}</td><td class="at" :title="date(row.at)">{{ clock(row.at) }}</td>
          <td><span class="type">{{ row.type }}</span> <code class="muted">{{ row.key }}</code><pre v-if="row.data">{{ row.data }}</pre></td>
          <td class="muted sw-wide">{{ row.actor }}</td></tr></tbody></table>
        <table v-else-if="tab === 'Stream'" data-testid="stream"><tbody><tr v-for="row in shown" :key="row.n">
          <td class="seq">{{ row.n }}</td><td class="at" :title="date(row.at)">{{ clock(row.at) }}</td>
          <td><span class="type">{{ row.type }}</span> <code class="muted">{{ row.key }}</code><pre>{{ row.text }}</pre></td></tr></tbody></table>
        <table v-else data-testid="messages"><tbody><tr v-for="row in shown" :key="row.id">
          <td class="at" :title="date(row.at)">{{ clock(row.at) }}</td><td class="num">#{{ row.execution }}</td>
          <td><span class="type">{{ row.stage }}</span> <code class="muted">{{ row.key }}</code><pre>{{ row.payload }}</pre></td>
          <td><span class="sw-status completed">{{ row.ack }}</span></td></tr></tbody></table>
        <div class="sw-empty" v-if="!shown.length" style="padding: 1.5rem">{{ filter ? 'Nothing matches.' : { History: 'Nothing has happened yet.', Stream: 'The run has published nothing yet: thinking, progress and items of steps come here.', Messages: 'No message was sent; those of a pipeline come here with what the broker said.' }[tab] }}</div>
      </div>
    </section>`,
  computed: {
    shown() {
      const wanted = this.filter.toLowerCase(), rows = this.rows(this.tab);
      return wanted ? rows.filter((row) => JSON.stringify(row).toLowerCase().includes(wanted)) : rows;
    },
  },
  created() { this.following = true; },
  methods: {
    clock, date,
    rows(name) { return { History: this.history, Stream: this.stream, Messages: this.messages }[name]; },
    add(history, stream, messages) {
      if (this.paused) { this.held.push([history, stream, messages]); return; }
      this.history = [...this.history, ...history].slice(-MOST);
      this.stream = [...this.stream, ...stream].slice(-MOST);
      this.messages = [...this.messages, ...messages].slice(-MOST);
      this.follow();
    },
    follow() { this.$nextTick(() => { if (this.following && this.$refs.log) this.$refs.log.scrollTop = this.$refs.log.scrollHeight; }); },
    scrolled() { const log = this.$refs.log; this.following = log.scrollHeight - log.scrollTop - log.clientHeight < 40; },
    pause() {
      this.paused = !this.paused;
      if (this.paused) return;
      const held = this.held;
      this.held = [];
      for (const rows of held) this.add(...rows);
    },
    key(event) {
      const names = ["History", "Stream", "Messages"], by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!by) return;
      this.tab = names[(names.indexOf(this.tab) + by + 3) % 3];
      this.$nextTick(() => this.$el.querySelector("[aria-selected=true]").focus());
    },
  },
};
