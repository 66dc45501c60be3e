# A shim for what insists on gyp (node-gyp, prebuildify, node-gyp-build). CMakeLists.txt is the only build truth.
# The output is never made, so that every run asks CMake, which knows what is stale.
{
    'targets': [
        {
            'target_name': 'llama_sessions',
            'type': 'none',
            'actions': [
                {
                    'action_name': 'cmake',
                    'inputs': ['CMakeLists.txt'],
                    'outputs': ['<(PRODUCT_DIR)/always'],
                    'action': ['node', 'scripts/build.mjs'],
                },
            ],
        },
    ],
}
