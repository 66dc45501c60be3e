export { DirectoryStore } from './directory.js';
export { MemoryStore } from './memory.js';
export type {
  Durability,
  ListedRecord,
  PutPageOptions,
  PutRecordOptions,
  RecordFilter,
  SessionStore,
  StoredRecord,
} from './store.js';
