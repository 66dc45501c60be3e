// Who has the processor when: threads that have it only while no other thread of the process wants it, and those others.
#pragma once

#include <thread>

namespace llama_sessions {

// Makes the calling thread one of those, for good; on Linux also all that it makes. False: not possible here.
bool step_aside();
// Milliseconds that a thread has had the processor; negative: not known here.
double processor_ms(std::thread& thread);

// Where so many threads and as many in the background do not all have a processor of their own: marks those that the calling
// thread may use, to give each of the first a certain one. Linux would now and then let two of them share one for 70 ms, which
// is five steps, while a thread in the background keeps the other. False: no need, or not possible.
bool processors_for(int threads, bool* marks);
// The calling thread uses that one and no other. False: not possible.
bool use_only(int processor);
// The calling thread may use any of those again.
void use_any_processor();

} // namespace llama_sessions
