import { json, text } from "stepwell-elements/values.js";

export default {
  props: { values: Object },
  data: () => ({ chosen: "", copied: false }),
  template: `
    <section class="sw-panel" aria-label="Values">
      <header><div class="sw-tabs" role="tablist" aria-label="Values">
          <button v-for="name in names" :key="name" role="tab" :id="'tab-' + name" :aria-selected="name === shown" aria-controls="value"
            :tabindex="name === shown ? 0 : -1" @click="chosen = name" @keydown="key">{{ name }}</button></div>
        <button class="sw-btn small" @click="copy">{{ copied ? 'Copied' : 'Copy' }}</button></header>
      <pre class="sw-json" id="value" role="tabpanel" tabindex="0" :aria-labelledby="'tab-' + shown" v-html="json(values[shown])" :data-value="shown"></pre>
    </section>`,
  computed: {
    names() { return ["Input", "Output", "Error"].filter((name) => name === "Input" || this.values[name] != null); },
    shown() { return this.names.includes(this.chosen) ? this.chosen : this.names[this.names.length - 1]; },
  },
  watch: { values: { immediate: true, handler(values) { window.stepwellInput = values.Input; } } },
  methods: {
    json,
    key(event) {
      const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!by) return;
      this.chosen = this.names[(this.names.indexOf(this.shown) + by + this.names.length) % this.names.length];
      this.$nextTick(() => this.$el.querySelector("[aria-selected=true]").focus());
    },
    async copy() {
      await navigator.clipboard?.writeText(text(this.values[this.shown]));
      this.copied = true;
      setTimeout(() => (this.copied = false), 1500);
    },
  },
};
