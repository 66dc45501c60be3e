/** Many chat sessions on one llama.cpp model, in one Node process. */
export { AbortError, LlamaError, type ErrorCode } from './errors.js';
export { loadModel } from './load.js';
export type { Model } from './model.js';
export { SessionPool, type AcquireOptions, type SessionPoolOptions } from './pool.js';
export type { Session } from './session.js';
export { DirectoryStore, type DirectoryStoreOptions } from './stores/directory.js';
export type { KeyRing } from './stores/keyring.js';
export { MemoryStore, type MemoryStoreOptions } from './stores/memory.js';
export { RedisStore, type RedisStoreOptions } from './stores/redis.js';
export type { RedisClient } from './stores/redisserver.js';
export type {
  DeleteRecordOptions,
  Durability,
  ListedRecord,
  PutPageOptions,
  PutRecordOptions,
  RecordFilter,
  SessionStore,
  StoredRecord,
} from './stores/store.js';
export type { Turn } from './turn.js';
export type * from './types.js';
