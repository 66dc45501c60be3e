#include "index_binding.h"

#include "promise_worker.h"
#include "values.h"

namespace llama_sessions {

Napi::Function IndexBinding::define(Napi::Env env) {
    return DefineClass(
        env, "Index",
        {InstanceMethod("open", &IndexBinding::open), InstanceMethod("beginReading", &IndexBinding::begin_reading),
         InstanceMethod("endReading", &IndexBinding::end_reading), InstanceMethod("get", &IndexBinding::get),
         InstanceMethod("range", &IndexBinding::range), InstanceMethod("commit", &IndexBinding::commit),
         InstanceMethod("close", &IndexBinding::close)});
}

// --- values: a key is a string with a character for each byte ----------------------------------------------------------

static void check(Napi::Env env, napi_status status) {
    if (status != napi_ok) throw Napi::Error::New(env);
}

static std::string key_of(const Napi::Value& value) {
    size_t length = 0;
    check(value.Env(), napi_get_value_string_latin1(value.Env(), value, nullptr, 0, &length));
    std::string key(length + 1, '\0'); // what is written ends with a zero
    check(value.Env(), napi_get_value_string_latin1(value.Env(), value, &key[0], key.size(), &length));
    key.resize(length);
    return key;
}

static Napi::Value key_value(Napi::Env env, const std::string& key) {
    napi_value value = nullptr;
    check(env, napi_create_string_latin1(env, key.data(), key.size(), &value));
    return {env, value};
}

// null: there is nothing by that key.
static Index::Value value_of(const Napi::Value& value) {
    if (value.IsNull()) return std::nullopt;
    const Napi::Uint8Array bytes = bytes_of(value, "value");
    return std::string(reinterpret_cast<const char*>(bytes.Data()), bytes.ByteLength());
}

static Napi::Value buffer_value(Napi::Env env, const std::string& bytes) {
    return Napi::Buffer<char>::Copy(env, bytes.data(), bytes.size());
}

// [key, value, key, value …]
static std::vector<Index::Change> changes_of(const Napi::Value& value) {
    const auto list = value.As<Napi::Array>();
    std::vector<Index::Change> changes;
    for (uint32_t i = 0; i + 1 < list.Length(); i += 2)
        changes.push_back({key_of(list.Get(i)), value_of(list.Get(i + 1))});
    return changes;
}

// --- methods -------------------------------------------------------------------------------------------------------

template <class Work> auto IndexBinding::read(Napi::Env env, Work work) {
    return with_errors(env, [&] {
        if (!shared_->readable) throw index_not_open();
        return work(shared_->index);
    });
}

Napi::Value IndexBinding::open(const Napi::CallbackInfo& info) {
    const std::string path = string_of(info[0], "path"), process = string_of(info[1], "process");
    const auto shared = shared_;
    return PromiseWorker<bool>::start(
        info.Env(),
        [shared, path, process] {
            shared->index.open(path, process);
            return true;
        },
        [shared](Napi::Env env, bool) {
            shared->readable = true;
            return env.Undefined();
        });
}

void IndexBinding::begin_reading(const Napi::CallbackInfo& info) {
    read(info.Env(), [](Index& index) { index.begin_reading(); });
}

void IndexBinding::end_reading(const Napi::CallbackInfo& info) {
    read(info.Env(), [](Index& index) { index.end_reading(); });
}

Napi::Value IndexBinding::get(const Napi::CallbackInfo& info) {
    const std::string key = key_of(info[0]);
    const Index::Value value = read(info.Env(), [&](Index& index) { return index.get(key); });
    return value ? buffer_value(info.Env(), *value) : info.Env().Undefined();
}

Napi::Value IndexBinding::range(const Napi::CallbackInfo& info) {
    const std::string from = key_of(info[0]), below = key_of(info[1]);
    const auto limit = static_cast<size_t>(number_of(info[2], "limit"));
    const auto entries = read(info.Env(), [&](Index& index) { return index.range(from, below, limit); });
    Napi::Array list = Napi::Array::New(info.Env(), entries.size());
    for (uint32_t i = 0; i < entries.size(); i++) {
        Napi::Array pair = Napi::Array::New(info.Env(), 2);
        pair.Set(0u, key_value(info.Env(), entries[i].key));
        pair.Set(1u, buffer_value(info.Env(), entries[i].value));
        list.Set(i, pair);
    }
    return list;
}

Napi::Value IndexBinding::commit(const Napi::CallbackInfo& info) {
    return PromiseWorker<bool>::start(
        info.Env(),
        [shared = shared_, key = key_of(info[0]), expected = value_of(info[1]), changes = changes_of(info[2])] {
            return shared->index.commit(key, expected, changes);
        },
        [](Napi::Env env, bool done) { return Napi::Boolean::New(env, done); });
}

Napi::Value IndexBinding::close(const Napi::CallbackInfo& info) {
    shared_->readable = false;
    const auto shared = shared_;
    return PromiseWorker<bool>::start(
        info.Env(),
        [shared] {
            shared->index.close();
            return true;
        },
        [](Napi::Env env, bool) { return env.Undefined(); });
}

} // namespace llama_sessions
