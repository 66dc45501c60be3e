#include "values.h"

namespace llama_sessions {

static Napi::TypeError wrong(const Napi::Value& value, const char* what, const char* wanted) {
    return Napi::TypeError::New(value.Env(), std::string(what) + " must be " + wanted + ".");
}

std::string string_of(const Napi::Value& value, const char* what) {
    if (!value.IsString()) throw wrong(value, what, "a string");
    return value.As<Napi::String>().Utf8Value();
}

double number_of(const Napi::Value& value, const char* what) {
    if (!value.IsNumber()) throw wrong(value, what, "a number");
    return value.As<Napi::Number>().DoubleValue();
}

int whole_of(const Napi::Value& value, const char* what) {
    const double number = number_of(value, what);
    // Written so that NaN fails; and what does not fit into an int has no defined value there.
    if (!(number >= INT32_MIN && number <= INT32_MAX)) throw wrong(value, what, "a whole number");
    return static_cast<int>(number);
}

bool flag_of(const Napi::Value& value, const char* what) {
    if (!value.IsBoolean()) throw wrong(value, what, "true or false");
    return value.As<Napi::Boolean>().Value();
}

template <class Array> static Array array_of(const Napi::Value& value, napi_typedarray_type type, const char* what) {
    if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != type) {
        throw wrong(value, what, "a typed array of the right kind");
    }
    return value.As<Array>();
}

Tokens tokens_of(const Napi::Value& value, const char* what) {
    const auto array = array_of<Napi::Int32Array>(value, napi_int32_array, what);
    return Tokens(array.Data(), array.Data() + array.ElementLength());
}

Napi::Uint8Array bytes_of(const Napi::Value& value, const char* what) {
    return array_of<Napi::Uint8Array>(value, napi_uint8_array, what);
}

namespace {
// The fields of an options object, each checked.
class Fields {
  public:
    explicit Fields(const Napi::Value& value) : object_(value.As<Napi::Object>()) {
        if (!value.IsObject()) throw wrong(value, "options", "an object");
    }
    Napi::Value get(const char* name) const { return object_.Get(name); }
    std::string text(const char* name) const { return string_of(get(name), name); }
    double number(const char* name) const { return number_of(get(name), name); }
    int whole(const char* name) const { return whole_of(get(name), name); }
    uint32_t count(const char* name) const { return static_cast<uint32_t>(number(name)); }
    float real(const char* name) const { return static_cast<float>(number(name)); }
    bool flag(const char* name) const { return flag_of(get(name), name); }

  private:
    Napi::Object object_;
};
} // namespace

EngineOptions engine_options_of(const Napi::Value& value) {
    const Fields fields(value);
    EngineOptions options;
    options.path = fields.text("path");
    options.gpu_layers = fields.whole("gpuLayers");
    options.context.context_tokens = fields.count("contextTokens");
    options.context.sequences = fields.count("sequences");
    options.context.batch_tokens = fields.count("batchTokens");
    options.context.threads = fields.whole("threads");
    options.context.unified = fields.flag("unified");
    options.context.speculation = fields.flag("speculation");
    options.context.kv_type = fields.text("kvType");
    options.context.memory = fields.number("memory");
    const ContextOptions& context = options.context;
    if (context.sequences < 1 || context.sequences > 256 || context.batch_tokens < 1 || context.threads < 1) {
        throw Napi::RangeError::New(value.Env(), "sequences, batchTokens or threads out of range.");
    }
    return options;
}

static std::vector<llama_logit_bias> biases_of(const Fields& fields) {
    const Tokens tokens = tokens_of(fields.get("biasTokens"), "biasTokens");
    const auto values = array_of<Napi::Float64Array>(fields.get("biasValues"), napi_float64_array, "biasValues");
    std::vector<llama_logit_bias> biases;
    for (size_t i = 0; i < tokens.size() && i < values.ElementLength(); i++) {
        biases.push_back({tokens[i], static_cast<float>(values[i])});
    }
    return biases;
}

ReplyOptions reply_options_of(const Napi::Value& value) {
    const Fields fields(value);
    return {fields.text("tools"), fields.text("toolChoice"), fields.flag("reasoning"), fields.text("jsonSchema")};
}

// In JavaScript's hands a format is a thing without properties, which comes back with the request.
using FormatPointer = std::shared_ptr<const ReplyFormat>;
static constexpr napi_type_tag format_tag = {0x6c6c616d612d7365, 0x7265706c79666d74};

static Napi::Value format_value(Napi::Env env, const FormatPointer& format) {
    if (!format) return env.Undefined();
    auto value = Napi::External<FormatPointer>::New(env, new FormatPointer(format),
                                                    [](Napi::Env, FormatPointer* pointer) { delete pointer; });
    value.TypeTag(&format_tag);
    return value;
}

static FormatPointer format_of(const Napi::Value& value) {
    if (value.IsUndefined()) return nullptr;
    if (!value.IsExternal() || !value.As<Napi::External<FormatPointer>>().CheckTypeTag(&format_tag))
        throw wrong(value, "format", "what a prompt came with");
    return *value.As<Napi::External<FormatPointer>>().Data();
}

SubmitOptions submit_options_of(const Napi::Value& value) {
    const Fields fields(value);
    SubmitOptions options;
    options.request = fields.count("request");
    options.sequence = fields.whole("sequence");
    options.tokens = tokens_of(fields.get("tokens"), "tokens");
    options.max_tokens = fields.whole("maxTokens");
    const auto stop = fields.get("stop").As<Napi::Array>();
    for (uint32_t i = 0; i < stop.Length(); i++) options.stop.push_back(string_of(stop.Get(i), "stop"));

    SamplingOptions& sampling = options.sampling;
    sampling.temperature = fields.real("temperature");
    sampling.top_k = fields.whole("topK");
    sampling.top_p = fields.real("topP");
    sampling.min_p = fields.real("minP");
    sampling.repeat_penalty = fields.real("repeatPenalty");
    sampling.frequency_penalty = fields.real("frequencyPenalty");
    sampling.presence_penalty = fields.real("presencePenalty");
    sampling.seed = fields.count("seed");
    sampling.grammar = fields.text("grammar");
    options.format = format_of(fields.get("format"));
    if (options.format && !options.format->grammar().empty()) {
        sampling.grammar = options.format->grammar();
        sampling.grammar_start = options.format->grammar_start();
    }
    sampling.ignore_end = fields.flag("ignoreEog");
    sampling.bias = biases_of(fields);
    return options;
}

Napi::Error error_value(Napi::Env env, const Failure& failure) {
    Napi::Error error = Napi::Error::New(env, failure.message);
    error.Set("code", Napi::String::New(env, failure.code));
    return error;
}

template <class T, class ToValue>
static Napi::Array list_value(Napi::Env env, const std::vector<T>& list, ToValue to_value) {
    Napi::Array array = Napi::Array::New(env, list.size());
    for (size_t i = 0; i < list.size(); i++) array.Set(static_cast<uint32_t>(i), to_value(env, list[i]));
    return array;
}

Napi::Value texts_value(Napi::Env env, const std::vector<std::string>& texts) {
    return list_value(env, texts, [](Napi::Env env, const std::string& text) { return Napi::String::New(env, text); });
}

Napi::Value tokens_value(Napi::Env env, const Tokens& tokens) {
    auto array = Napi::Int32Array::New(env, tokens.size());
    std::copy(tokens.begin(), tokens.end(), array.Data());
    return array;
}

Napi::Value prompt_value(Napi::Env env, const Prompt& prompt) {
    Napi::Object object = Napi::Object::New(env);
    object.Set("tokens", tokens_value(env, prompt.tokens));
    object.Set("format", format_value(env, prompt.format));
    return object;
}

Napi::Value info_value(Napi::Env env, const EngineInfo& info) {
    Napi::Object object = Napi::Object::New(env);
    object.Set("description", info.description);
    object.Set("architecture", info.architecture);
    object.Set("parameters", info.parameters);
    object.Set("sizeBytes", info.size_bytes);
    object.Set("trainedContext", info.trained_context);
    object.Set("vocabularySize", info.vocabulary_size);
    object.Set("devices", texts_value(env, info.devices));
    object.Set("contextTokens", info.context_tokens);
    object.Set("sessionTokens", info.session_tokens);
    object.Set("sequences", info.sequences);
    object.Set("batchTokens", info.batch_tokens);
    object.Set("unified", info.unified);
    object.Set("kvBytesPerToken", info.kv_bytes_per_token);
    object.Set("kvFormat", info.kv_format);
    object.Set("portableKv", info.portable_kv);
    object.Set("pages", info.pages);
    return object;
}

static Napi::Value part_value(Napi::Env env, const ModelPart& part) {
    auto tensors = Napi::Float64Array::New(env, part.tensors.size() * 2);
    for (size_t i = 0; i < part.tensors.size(); i++) {
        tensors[2 * i] = static_cast<double>(part.tensors[i].first);
        tensors[2 * i + 1] = static_cast<double>(part.tensors[i].second);
    }
    Napi::Object object = Napi::Object::New(env);
    object.Set("path", part.path);
    object.Set("headerBytes", static_cast<double>(part.header_bytes));
    object.Set("fileBytes", static_cast<double>(part.file_bytes));
    object.Set("tensors", tensors);
    return object;
}

Napi::Value layout_value(Napi::Env env, const ModelLayout& layout) { return list_value(env, layout.parts, part_value); }

static Napi::Value device_value(Napi::Env env, const DeviceInfo& device) {
    Napi::Object object = Napi::Object::New(env);
    object.Set("name", device.name);
    object.Set("description", device.description);
    object.Set("kind", device.kind);
    object.Set("freeBytes", device.free_bytes);
    object.Set("totalBytes", device.total_bytes);
    return object;
}

static Napi::Value backend_value(Napi::Env env, const BackendInfo& backend) {
    Napi::Object features = Napi::Object::New(env);
    for (const auto& [name, value] : backend.features) features.Set(name, value);
    Napi::Object object = Napi::Object::New(env);
    object.Set("name", backend.name);
    object.Set("file", backend.file);
    object.Set("features", features);
    object.Set("devices", list_value(env, backend.devices, device_value));
    return object;
}

Napi::Value system_value(Napi::Env env, const SystemInfo& info) {
    Napi::Object object = Napi::Object::New(env);
    object.Set("llamaVersion", info.llama_version);
    object.Set("ggmlVersion", info.ggml_version);
    object.Set("tree", info.tree);
    object.Set("backends", list_value(env, info.backends, backend_value));
    return object;
}

static Napi::Value call_value(Napi::Env env, const ToolCall& call) {
    Napi::Object object = Napi::Object::New(env);
    object.Set("id", call.id);
    object.Set("name", call.name);
    object.Set("arguments", call.arguments);
    return object;
}

Napi::Value end_value(Napi::Env env, const EndEvent& end) {
    Napi::Object object = Napi::Object::New(env);
    object.Set("request", end.request);
    object.Set("reason", end.reason);
    if (end.failure) object.Set("error", error_value(env, *end.failure).Value());
    object.Set("promptTokens", end.prompt_tokens);
    object.Set("cachedTokens", end.cached_tokens);
    object.Set("generatedTokens", end.generated_tokens);
    object.Set("kvTokens", end.kv_tokens);
    object.Set("waitMs", end.wait_ms);
    object.Set("prefillMs", end.prefill_ms);
    object.Set("firstTokenMs", end.first_token_ms);
    object.Set("generateMs", end.generate_ms);
    object.Set("draftedTokens", end.drafted_tokens);
    object.Set("acceptedTokens", end.accepted_tokens);
    object.Set("text", end.text);
    object.Set("reasoning", end.reasoning);
    object.Set("toolCalls", list_value(env, end.tool_calls, call_value));
    object.Set("tokens", tokens_value(env, end.tokens));
    return object;
}

} // namespace llama_sessions
