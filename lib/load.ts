import { resolve } from 'node:path';
import { onAbort } from './abort.js';
import { loadBackends } from './backends.js';
import { addon } from './binding.js';
import { filePath } from './checks.js';
import { tell } from './emitter.js';
import { Engine } from './engine.js';
import { AbortError, fromNative } from './errors.js';
import { fingerprintModel } from './fingerprint.js';
import { Host } from './host.js';
import { Model } from './model.js';
import type { EngineInfo, EngineOptions, ModelPart } from './native.js';
import { resolveLoadOptions } from './options.js';
import type { ResolvedLoadOptions } from './resolved.js';
import { PageNames } from './pages.js';
import { Residency } from './residency.js';
import { DirectoryStore } from './stores/directory.js';
import { MemoryStore } from './stores/memory.js';
import type { SessionStore } from './stores/store.js';
import { encryptedStore } from './stores/encrypted.js';
import { Keys } from './stores/keyring.js';
import { typedStore } from './stores/typed.js';
import { PageTiers } from './tiers.js';
import { computeThreads, memoryBytes } from './threads.js';
import type { LoadOptions } from './types.js';
import { RestoreWorth } from './worth.js';

/**
 * Loads a GGUF model and starts its engine, without blocking the event loop.
 * @param path of the .gguf file; of the first part, when the model is split
 * @throws TypeError, RangeError for wrong options; LlamaError BINDING_NOT_FOUND, MODEL_NOT_FOUND, MODEL_INVALID, OUT_OF_MEMORY,
 * TEMPLATE_INVALID, NOT_SUPPORTED, STORE_FAILED; AbortError
 */
export async function loadModel(path: string, options?: LoadOptions): Promise<Model> {
  filePath('a .gguf file')('path', path);
  const resolved = resolveLoadOptions(options);
  // A copy, before anything is waited for: the user may wipe his keys when this returns.
  const keys = resolved.encryption && new Keys(resolved.encryption);
  const file = resolve(path);
  await loadBackends();
  const parts = await inspect(file);
  const { store, close } = storeOf(resolved, keys);
  const engine = new Engine(quiet(resolved.onProgress));
  try {
    const [info, fingerprint] = await Promise.all([open(engine, file, resolved), fingerprintModel(parts)]);
    // An abort that came too late to end the load has closed the engine all the same.
    if (resolved.signal?.aborted === true) throw new AbortError('', resolved.signal.reason);
    const names = new PageNames(fingerprint, info.kvFormat, info.pages ? resolved.pageTokens : Infinity);
    const tiers = new PageTiers(store, resolved.ramBytes);
    const residency = new Residency(engine, info, names, tiers, new RestoreWorth(resolved.alwaysRestore));
    const host = new Host({
      engine,
      info,
      fingerprint,
      residency,
      store,
      durability: resolved.durability,
      maxQueued: resolved.maxQueued,
      idleMs: resolved.idleMs,
    });
    const { description, architecture, parameters, sizeBytes, trainedContext, vocabularySize, devices } = info;
    return new Model(
      host,
      {
        path: file,
        description,
        architecture,
        parameters,
        sizeBytes,
        trainedContext,
        vocabularySize,
        fingerprint,
        devices,
      },
      close,
    );
  } catch (error) {
    await engine.close();
    await close();
    throw error;
  }
}

async function inspect(file: string): Promise<ModelPart[]> {
  try {
    return await addon().inspectModel(file);
  } catch (error) {
    throw fromNative(error);
  }
}

async function open(engine: Engine, path: string, options: ResolvedLoadOptions): Promise<EngineInfo> {
  const { signal } = options;
  const native: EngineOptions = {
    path,
    // 'auto' and 'all': all layers. Where those don't fit onto the device, the load fails, and the user names a number.
    gpuLayers: typeof options.gpuLayers === 'number' ? options.gpuLayers : -1,
    contextTokens: options.contextTokens,
    sequences: options.maxResident,
    batchTokens: options.batchTokens,
    threads: await computeThreads(options.threads),
    unified: options.unified,
    kvType: options.kvType,
    memory: memoryBytes(),
    speculation: options.speculation,
  };
  const isAborted = (): boolean => signal?.aborted === true; // a call: the compiler takes a property for constant
  if (isAborted()) throw new AbortError('', signal?.reason);
  const unlisten = onAbort(signal, () => void engine.close());
  try {
    return await engine.open(native);
  } catch (error) {
    throw isAborted() ? new AbortError('', signal?.reason) : error;
  } finally {
    unlisten();
  }
}

/** One for all models of a store, which so know of each other. */
const typedStores = new WeakMap<SessionStore, SessionStore>();

/** A store of ours is closed with the model; one that was passed in may serve other models. */
function storeOf(
  { store, diskBytes }: ResolvedLoadOptions,
  keys: Keys | undefined,
): { store: SessionStore; close: () => Promise<void> } {
  const withKeys = (plain: SessionStore): SessionStore => (keys === undefined ? plain : encryptedStore(plain, keys));
  if (typeof store === 'object') {
    const typed = typedStores.get(store) ?? typedStore(store);
    typedStores.set(store, typed);
    return { store: withKeys(typed), close: () => Promise.resolve() };
  }
  if (store === undefined) return { store: recordsInMemory(), close: () => Promise.resolve() };
  const directory = new DirectoryStore(store, diskBytes === undefined ? {} : { pageBytes: diskBytes });
  return { store: withKeys(typedStore(directory)), close: () => directory.close() };
}

/** Without pages: those are in RAM already, as long as there is room. */
function recordsInMemory(): SessionStore {
  const store = typedStore(new MemoryStore());
  delete store.getPage;
  delete store.putPage;
  delete store.deletePage;
  return store;
}

/** Progress is a courtesy: what a listener throws must not end the load. */
function quiet(onProgress: ((fraction: number) => void) | undefined): (fraction: number) => void {
  return (fraction) => {
    if (onProgress !== undefined) tell(onProgress, fraction);
  };
}
