// A form for a JSON Schema: objects as fields, what is simple as an input, anything else as JSON text.

const KINDS = { integer: "number", number: "number" };
const FORMATS = { date: "date", email: "email", time: "time", uri: "url" };

export function initial(schema) {
  if (schema == null || typeof schema !== "object") return undefined;
  if (schema.default !== undefined) return schema.default;
  if (schema.const !== undefined) return schema.const;
  if (typeOf(schema) === "object" && schema.properties) {
    const found = Object.entries(schema.properties).map(([name, part]) => [name, initial(part)]).filter(([, value]) => value !== undefined);
    return Object.fromEntries(found);
  }
  return typeOf(schema) === "boolean" ? false : undefined;
}

function typeOf(schema) {
  const type = Array.isArray(schema.type) ? schema.type.find((one) => one !== "null") : schema.type;
  return type || (schema.properties ? "object" : "");
}

const SchemaForm = {
  name: "SchemaForm",
  emits: ["update:modelValue", "fault"],
  props: { schema: [Object, Boolean], modelValue: null, name: String, required: Boolean },
  data: () => ({ text: "", fault: "", faults: {} }),
  template: `
    <div v-if="kind === 'object'" :class="name ? 'nested' : 'sw-form'">
      <b v-if="name" style="font-size: 0.85rem">{{ known.title || name }}</b>
      <SchemaForm v-for="(part, key) in known.properties" :key="key" :name="key" :schema="part" :required="(known.required || []).includes(key)"
        :model-value="modelValue?.[key]" @update:model-value="set(key, $event)" @fault="tell(key, $event)" />
    </div>
    <label v-else-if="kind === 'boolean'" class="sw-check"><input type="checkbox" :name="name" :checked="Boolean(modelValue)" @change="$emit('update:modelValue', $event.target.checked)">
      {{ known.title || name }}<span class="muted" v-if="known.description">{{ known.description }}</span></label>
    <label v-else class="sw-field"><span>{{ known.title || name || 'Data' }}<span v-if="required" aria-hidden="true"> *</span> <span class="hint">{{ known.description }}</span></span>
      <select v-if="kind === 'enum'" class="sw-input" :name="name" :required="required" :value="JSON.stringify(modelValue)" @change="choose($event.target.value)">
        <option :value="undefined"></option><option v-for="one in known.enum" :key="String(one)" :value="JSON.stringify(one)">{{ one }}</option></select>
      <input v-else-if="kind === 'number'" class="sw-input" type="number" :name="name" :required="required" :min="known.minimum" :max="known.maximum"
        :step="type === 'integer' ? 1 : 'any'" :value="modelValue" @input="$emit('update:modelValue', $event.target.value === '' ? undefined : Number($event.target.value))">
      <textarea v-else-if="kind === 'text'" class="sw-input" :name="name" :required="required" :value="modelValue" @input="typed"></textarea>
      <input v-else-if="kind === 'string'" class="sw-input" :type="format" :name="name" :required="required" :minlength="known.minLength" :maxlength="known.maxLength" :value="modelValue" @input="typed">
      <textarea v-else class="sw-input" :name="name || 'data'" :required="required" v-model="text" placeholder="JSON" spellcheck="false" @input="parse" :aria-invalid="Boolean(fault)"></textarea>
      <span class="sw-fault" v-if="fault">{{ fault }}</span></label>`,
  computed: {
    known() { return this.schema && typeof this.schema === "object" ? this.schema : {}; },
    type() { return typeOf(this.known); },
    format() { return FORMATS[this.known.format] || "text"; },
    kind() {
      const schema = this.known;
      if (Array.isArray(schema.enum)) return "enum";
      if (this.type === "object" && schema.properties && Object.keys(schema.properties).length) return "object";
      if (this.type === "string") return (schema.maxLength || 0) > 200 || schema.contentMediaType ? "text" : "string";
      return this.type === "boolean" ? "boolean" : KINDS[this.type] || "json";
    },
  },
  mounted() {
    if (this.modelValue === undefined && !this.name) {
      const value = initial(this.schema);
      if (value !== undefined) this.$emit("update:modelValue", value);
    }
    if (this.kind === "json" && this.modelValue !== undefined) this.text = JSON.stringify(this.modelValue, null, 2);
  },
  methods: {
    set(key, value) {
      const whole = { ...(this.modelValue || {}) };
      if (value === undefined) delete whole[key]; else whole[key] = value;
      this.$emit("update:modelValue", whole);
    },
    tell(key, fault) {
      this.faults[key] = fault;
      this.$emit("fault", Object.values(this.faults).find(Boolean) || "");
    },
    typed(event) { this.$emit("update:modelValue", event.target.value === "" && !this.required ? undefined : event.target.value); },
    choose(text) { this.$emit("update:modelValue", text ? JSON.parse(text) : undefined); },
    parse() {
      try {
        this.$emit("update:modelValue", this.text.trim() ? JSON.parse(this.text) : undefined);
        this.fault = "";
      } catch (error) {
        this.fault = "This is no JSON: " + error.message;
      }
      this.$emit("fault", this.fault);
    },
  },
};
export default SchemaForm;
