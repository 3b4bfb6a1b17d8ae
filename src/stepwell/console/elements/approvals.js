import SchemaForm from "stepwell-elements/schema_form.js";
import { json } from "stepwell-elements/values.js";
import { ago, date, ticking } from "stepwell-elements/when.js";

export default {
  mixins: [ticking],
  components: { SchemaForm },
  emits: ["decide", "show"],
  props: { cards: Array, shown: Boolean, mayAct: Boolean, status: String, run: String },
  data: () => ({ comments: {}, answers: {}, faults: {} }),
  template: `
    <div style="display: grid; gap: 1rem">
      <div class="sw-title"><h1>Approvals</h1><template v-if="run"><span class="muted">of one run</span><a class="sw-btn small" href="/console/approvals">Show all</a></template>
        <div class="sw-chips" role="group" aria-label="Which">
          <button class="sw-chip all" :aria-pressed="status === 'pending'" @click="show('pending')">Pending</button>
          <button class="sw-chip all" :aria-pressed="status === 'all'" @click="show('all')">All</button></div></div>
      <section class="sw-panel sw-empty" v-if="shown && !cards.length"><h2>Nothing waits for you</h2>When a run asks for a decision, it stands here.</section>
      <div class="sw-cards">
        <article class="sw-panel sw-card" v-for="card in cards" :key="card.id" :data-approval="card.id" :aria-label="'Approval: ' + (card.title || card.prompt || card.step)">
          <div class="sw-run-title"><span :class="['sw-status', 'pill', card.status === 'pending' ? 'waiting' : card.status]">{{ card.status }}</span>
            <b>{{ card.workflow }}</b><span class="muted">{{ card.step }}</span><span style="flex: 1"></span>
            <span class="muted" :title="date(card.requested)">{{ ago(card.requested, now) }}</span>
            <a class="sw-btn small" :href="'/console/runs/' + card.run">Open run</a></div>
          <div><div class="muted" v-if="card.title && card.prompt">{{ card.title }}</div><div class="prompt">{{ card.prompt || card.title || 'Approve?' }}</div></div>
          <pre class="sw-json" v-if="card.context != null" v-html="json(card.context)" tabindex="0" aria-label="Context"></pre>
          <div class="muted" style="font-size: 0.86rem">Asked: {{ card.asked.filter(Boolean).join(', ') || 'whoever owns the run' }}<template v-if="card.required > 1"> · {{ card.votes }} of {{ card.required }} approved</template><template v-if="card.due && card.status === 'pending'"> · until {{ date(card.due) }}</template></div>
          <div class="muted" v-for="vote in card.said" :key="vote.who" style="font-size: 0.86rem"><span :class="['sw-status', vote.approved ? 'approved' : 'rejected']">{{ vote.approved ? 'approved' : 'rejected' }}</span> by {{ vote.who }}<template v-if="vote.comment">: {{ vote.comment }}</template></div>
          <form class="sw-form" v-if="card.status === 'pending'" @submit.prevent="decide(card, true)">
            <SchemaForm v-if="card.schema" :schema="card.schema" v-model="answers[card.id]" @fault="faults[card.id] = $event" />
            <label class="sw-field"><span>Comment <span class="hint">(optional)</span></span><input class="sw-input" v-model="comments[card.id]" name="comment" maxlength="2000"></label>
            <div class="sw-actions"><button class="sw-btn primary" :disabled="!mayAct || Boolean(faults[card.id])">Approve</button>
              <button type="button" class="sw-btn danger" :disabled="!mayAct" @click="decide(card, false)">Reject</button></div>
          </form>
        </article>
      </div>
    </div>`,
  methods: {
    ago, date, json,
    show(status) {
      const query = new URLSearchParams(location.search);
      if (status === "all") query.set("status", "all"); else query.delete("status");
      window.history.replaceState(null, "", location.pathname + (query.size ? "?" + query : ""));
      this.$emit("show", status);
    },
    decide(card, approved) {
      const data = approved && card.schema ? this.answers[card.id] ?? null : null;
      this.$emit("decide", { id: card.id, approved, comment: this.comments[card.id] || "", data });
    },
  },
};
