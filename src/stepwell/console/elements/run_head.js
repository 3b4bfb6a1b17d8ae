import { ago, clock, date, took, ticking } from "stepwell-elements/when.js";

const WORDS = { pause: "Pause", resume: "Resume", stop: "Stop", cancel: "Cancel", retry: "Retry", roll_back: "Roll back" };
const SAYS = {
  pause: "Nothing new begins; steps in flight finish.",
  stop: "Steps in flight may finish, waits are cut short; then the run ends as cancelled.",
  cancel: "The run ends at once.",
  retry: "What has completed stays; what failed or was cut off is done again.",
  roll_back: "All outcomes after this point are forgotten; the run is left paused. The history keeps everything.",
  fork: "A new run of the same workflow, with the outcomes up to a point of this one.",
};

export default {
  mixins: [ticking],
  emits: ["act", "points"],
  props: { run: Object, id: String, mayAct: Boolean, gone: String },
  data: () => ({ verb: "", reason: "", compensate: false, latest: false, step: "", seq: 0, points: [], input: "", words: WORDS, says: SAYS }),
  template: `
    <section class="sw-panel" aria-label="Run">
      <div class="body" style="padding: 1.1rem 1.2rem">
        <p class="sw-error" v-if="gone" role="status">{{ gone }} <a href="/console/">All runs</a></p>
        <div v-if="!run && !gone" class="muted">…</div>
        <template v-if="run">
          <div class="sw-run-title">
            <h1>{{ run.workflow }}</h1>
            <span :class="['sw-status', 'pill', run.status]" data-testid="status">{{ run.status }}<template v-if="run.reason">: {{ run.reason }}</template></span>
            <span style="flex: 1"></span>
            <div class="sw-actions" role="group" aria-label="Commands">
              <a v-if="run.reason === 'approval'" class="sw-btn primary" :href="'/console/approvals?run=' + id">Decide</a>
              <button v-for="verb in run.allowed" :key="verb" :class="['sw-btn', verb === 'cancel' && 'danger', verb === 'resume' && 'primary']"
                :disabled="!mayAct || Boolean(gone)" @click="ask(verb)">{{ words[verb] }}</button>
              <button class="sw-btn" :disabled="!mayAct || Boolean(gone)" @click="ask('fork')">Fork</button>
              <a class="sw-btn" :href="'/console/runs/' + id + '/download'" download>Download</a>
            </div>
          </div>
          <div class="sw-error" v-if="run.error"><b v-if="run.failedStep">{{ run.failedStep }}: </b>{{ run.error.text }}</div>
          <div class="sw-error" v-if="run.cancelReason" style="border-color: var(--line-strong); background: var(--raised)">{{ run.cancelReason }}</div>
          <dl class="sw-facts">
            <div><dt>Run</dt><dd class="mono">{{ run.id }} <button class="sw-btn small plain" @click="copy" aria-label="Copy the run's id">copy</button></dd></div>
            <div v-if="run.version"><dt>Version</dt><dd>{{ run.version }}</dd></div>
            <div><dt>Created</dt><dd :title="date(run.created)">{{ ago(run.created, now) }}</dd></div>
            <div v-if="run.started"><dt>Took</dt><dd class="num">{{ took((run.ended || now) - run.started) }}</dd></div>
            <div v-if="run.until"><dt>Until</dt><dd>{{ date(run.until) }}</dd></div>
            <div v-if="run.timeoutAt"><dt>Times out</dt><dd>{{ date(run.timeoutAt) }}</dd></div>
            <div v-if="run.door"><dt>Door</dt><dd>{{ run.door }}</dd></div>
            <div v-if="run.owner"><dt>Owner</dt><dd>{{ run.owner }}</dd></div>
            <div><dt>By</dt><dd>{{ run.by }}</dd></div>
            <div v-if="run.generation > 1"><dt>Generation</dt><dd>{{ run.generation }}</dd></div>
            <div v-if="run.parent"><dt>Parent</dt><dd><a :href="'/console/runs/' + run.parent" class="mono">…{{ run.parent.slice(-12) }}</a></dd></div>
            <div v-if="run.forkedFrom"><dt>Forked from</dt><dd><a :href="'/console/runs/' + run.forkedFrom" class="mono">…{{ run.forkedFrom.slice(-12) }}</a></dd></div>
            <div v-for="(text, name) in run.labels" :key="name"><dt>{{ name }}</dt><dd>{{ text }}</dd></div>
            <div><dt>Events</dt><dd class="num">{{ run.events.toLocaleString() }}</dd></div>
          </dl>
        </template>
      </div>
      <dialog ref="dialog" class="sw-dialog" aria-labelledby="ask-title" @close="verb = ''">
        <form method="dialog" @submit.prevent="act" v-if="verb">
          <h2 id="ask-title">{{ words[verb] || 'Fork' }} this run</h2>
          <p class="muted" style="margin: 0">{{ says[verb] }}</p>
          <label class="sw-field" v-if="verb === 'retry'"><span>From</span>
            <input class="sw-input" v-model="step" name="step" placeholder="what failed (or the key or name of a step)"></label>
          <label class="sw-check" v-if="verb === 'retry'"><input type="checkbox" v-model="latest" name="latest"> With the newest version of the workflow</label>
          <label class="sw-field" v-if="verb === 'roll_back' || verb === 'fork'"><span>Point</span>
            <select class="sw-input" v-model.number="seq" name="seq">
              <option v-if="verb === 'fork'" :value="0">the very beginning</option>
              <option v-for="point in points" :key="point.seq" :value="point.seq">{{ point.seq }} · {{ clock(point.at) }} · {{ point.label || point.step || point.reason }}</option>
            </select></label>
          <label class="sw-field" v-if="verb === 'fork'"><span>Input</span>
            <textarea class="sw-input" v-model="input" name="input" spellcheck="false"></textarea></label>
          <label class="sw-field" v-if="['pause', 'stop', 'cancel', 'roll_back'].includes(verb)"><span>Reason <span class="hint">(optional, in the history)</span></span>
            <input class="sw-input" v-model="reason" name="reason" maxlength="500"></label>
          <label class="sw-check" v-if="run.undoable && ['cancel', 'roll_back'].includes(verb)"><input type="checkbox" v-model="compensate" name="compensate"> Undo what it has completed (compensate)</label>
          <div class="buttons"><button type="button" class="sw-btn" @click="$refs.dialog.close()">Leave it</button>
            <button class="sw-btn primary" :disabled="verb === 'roll_back' && !points.length">{{ words[verb] || 'Fork' }}</button></div>
        </form>
      </dialog>
    </section>`,
  methods: {
    ago, clock, date, took,
    copy() { navigator.clipboard?.writeText(this.run.id); },
    ask(verb, step) {
      if (verb === "resume") return this.$emit("act", { verb });
      Object.assign(this, { verb, reason: "", compensate: false, latest: false, step: step || "", seq: 0, points: [] });
      if (verb === "fork") this.input = JSON.stringify(window.stepwellInput ?? null, null, 2);
      if (verb === "fork" || verb === "roll_back") this.$emit("points", null);
      this.$nextTick(() => this.$refs.dialog.showModal()); // with its fields, so that the first has the focus
    },
    choose(points) {
      this.points = points;
      if (this.verb === "roll_back" && points.length) this.seq = points[points.length - 1].seq;
    },
    act() {
      const { verb, reason, compensate, latest, step, seq, input } = this;
      this.$emit("act", { verb, reason, compensate, latest, step, seq, input });
      this.$refs.dialog.close();
    },
  },
};
